//! A bare reverse proxy on hyper that does nothing: what passing a request on costs at least.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Idle = Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>;

/// Serves on a free port of loopback and prints it.
pub(crate) fn serve(to: &str) -> Result<(), String> {
    let uri: Uri = to.parse().map_err(|error| format!("{error}"))?;
    let address = uri.authority().ok_or("no authority")?.to_string();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        crate::report::say(&format!("{{\"url\":\"http://127.0.0.1:{port}{}\"}}", uri.path()));
        let idle: Idle = Arc::default();
        loop {
            let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
            let _ = stream.set_nodelay(true);
            let (idle, address) = (Arc::clone(&idle), address.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let (idle, address) = (Arc::clone(&idle), address.clone());
                    async move { Ok::<_, Infallible>(pass(request, &idle, &address).await) }
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

async fn pass(request: Request<Incoming>, idle: &Idle, address: &str) -> Response<BoxBody<Bytes, hyper::Error>> {
    let failed = || {
        let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return failed() };
    let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut sender = if let Some(sender) = pooled {
        sender
    } else {
        let Ok(stream) = TcpStream::connect(address).await else { return failed() };
        let _ = stream.set_nodelay(true);
        let Ok((sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
            return failed();
        };
        tokio::spawn(connection);
        sender
    };
    if sender.ready().await.is_err() {
        return failed();
    }
    let Ok(response) = sender.send_request(Request::from_parts(parts, Full::new(body.to_bytes()))).await else { return failed() };
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else { return failed() };
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    Response::from_parts(parts, Full::new(body.to_bytes()).map_err(|never| match never {}).boxed())
}
