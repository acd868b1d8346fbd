//! A client of one origin with its own connections.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use remit_model::Network;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::stream::permitted;

/// The most idle connections that are kept.
const IDLE_MAX: usize = 512;
/// The largest document that [`fetch`] takes, in bytes.
pub const FETCH_BYTES_MAX: usize = 1024 * 1024;

/// Why a request could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The address is no `http` or `https` URL with a host.
    #[error("`{0}` is not an http or https URL")]
    Url(String),
    /// The name resolves to nothing that the registration permits.
    #[error("`{host}` resolves to {address}, which a server registered for the {network} network may not be")]
    Refused {
        /// The host.
        host: String,
        /// The address that it resolves to.
        address: String,
        /// What the registration permits.
        network: &'static str,
    },
    /// The name could not be resolved, or nothing accepted the connection.
    #[error("could not connect to `{host}`: {source}")]
    Connect {
        /// The host.
        host: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing answered in time.
    #[error("`{0}` did not answer in time")]
    Timeout(String),
    /// The exchange broke.
    #[error("the exchange with `{host}` broke: {source}")]
    Http {
        /// The host.
        host: String,
        /// What the HTTP library said.
        source: hyper::Error,
    },
    /// The answer is larger than what is taken.
    #[error("the answer of `{0}` is too large")]
    TooLarge(String),
}

/// A client of one origin. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: Uri,
    url: String,
    network: Network,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    idle: Mutex<Vec<Sender>>,
}

type Sender = SendRequest<Full<Bytes>>;

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.inner.url).finish_non_exhaustive()
    }
}

/// A response whose connection goes back to the pool when it has been read.
#[derive(Debug)]
pub struct Fetched {
    /// Status and headers, with the body still to be read.
    pub response: Response<Incoming>,
    lease: Lease,
}

impl Fetched {
    /// The response, and what to drop when its body has been read to the end.
    pub fn into_parts(self) -> (Response<Incoming>, Lease) {
        (self.response, self.lease)
    }
}

/// Gives a connection back when it is told that the body was read to its end; closes it otherwise.
pub struct Lease {
    client: Client,
    sender: Option<Sender>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease")
    }
}

impl Lease {
    /// The body has been read to its end: the connection may serve again.
    pub fn finish(mut self) {
        if let Some(sender) = self.sender.take() {
            let Ok(mut idle) = self.client.inner.idle.lock() else { return };
            if idle.len() < IDLE_MAX && !sender.is_closed() {
                idle.push(sender);
            }
        }
    }
}

impl Client {
    /// A client of the origin of `url`. Nothing is connected yet.
    pub fn new(url: &str, network: Network, tls: &Arc<ClientConfig>, connect_timeout: Duration) -> Result<Self, EgressError> {
        let fault = || EgressError::Url(url.chars().take(200).collect());
        let uri: Uri = url.parse().map_err(|_| fault())?;
        let host = uri.host().ok_or_else(fault)?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(fault()),
        };
        let tls = if secure {
            let name = ServerName::try_from(host.clone()).map_err(|_| fault())?;
            Some((TlsConnector::from(Arc::clone(tls)), name))
        } else {
            None
        };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
        let inner = Inner {
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority).map_err(|_| fault())?,
            path: uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse().map_err(|_| fault())?,
            url: url.to_owned(),
            host,
            network,
            tls,
            connect_timeout,
            idle: Mutex::new(Vec::new()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The path and query of the URL that the client was made with.
    pub fn path(&self) -> &Uri {
        &self.inner.path
    }

    /// The URL that the client was made with.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Sends one request; its URI is a path. The `Host` header is set here.
    ///
    /// A connection that turns out to be closed before anything was sent on it is replaced; what was sent is never sent twice.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Fetched, EgressError> {
        request.headers_mut().insert(header::HOST, self.inner.authority.clone());
        loop {
            let (mut sender, fresh) = match self.idle() {
                Some(sender) => (sender, false),
                None => (self.connect().await?, true),
            };
            if sender.ready().await.is_err() && !fresh {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok(Fetched { response, lease: Lease { client: self.clone(), sender: Some(sender) } });
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(EgressError::Http { host: self.inner.host.clone(), source: error.into_error() }),
                },
            }
        }
    }

    /// Sends one request and takes the whole answer, of at most [`FETCH_BYTES_MAX`] bytes, within `timeout`.
    pub async fn whole(&self, timeout: Duration, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, EgressError> {
        let url = || self.inner.url.clone();
        let exchange = async {
            let (response, lease) = self.send(request).await?.into_parts();
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, FETCH_BYTES_MAX).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    return EgressError::TooLarge(url());
                }
                match error.downcast::<hyper::Error>() {
                    Ok(source) => EgressError::Http { host: url(), source: *source },
                    Err(_) => EgressError::TooLarge(url()),
                }
            })?;
            lease.finish();
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        tokio::time::timeout(timeout, exchange).await.map_err(|_| EgressError::Timeout(url()))?
    }

    fn idle(&self) -> Option<Sender> {
        let mut idle = self.inner.idle.lock().ok()?;
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Sender, EgressError> {
        match tokio::time::timeout(self.inner.connect_timeout, self.connect_now()).await {
            Ok(connected) => connected,
            Err(_) => Err(EgressError::Timeout(self.inner.host.clone())),
        }
    }

    async fn connect_now(&self) -> Result<Sender, EgressError> {
        let inner = &*self.inner;
        let broke = |source| EgressError::Connect { host: inner.host.clone(), source };
        let stream = permitted(&inner.host, inner.port, inner.network).await?;
        match &inner.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await.map_err(broke)?;
                self.handshake(TokioIo::new(stream)).await
            }
            None => self.handshake(TokioIo::new(stream)).await,
        }
    }

    async fn handshake<I>(&self, io: I) -> Result<Sender, EgressError>
    where
        I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    {
        let mut builder = Builder::new();
        builder.max_headers(64).max_buf_size(256 * 1024);
        let (sender, connection) =
            builder.handshake(io).await.map_err(|source| EgressError::Http { host: self.inner.host.clone(), source })?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Makes one request to a URL and takes the whole answer, of at most [`FETCH_BYTES_MAX`] bytes, within `timeout`. The request's
/// URI is replaced by the URL's path.
pub async fn fetch(
    url: &str,
    network: Network,
    tls: &Arc<ClientConfig>,
    timeout: Duration,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, EgressError> {
    let client = Client::new(url, network, tls, timeout)?;
    *request.uri_mut() = client.path().clone();
    client.whole(timeout, request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn client(url: &str, network: Network) -> Client {
        Client::new(url, network, &crate::tls_config(), Duration::from_secs(5)).unwrap()
    }

    fn get(path: &str) -> Request<Full<Bytes>> {
        Request::get(path).body(Full::default()).unwrap()
    }

    /// Answers every request on every connection with the number of the connection.
    async fn server() -> (u16, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut count = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                count += 1;
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(read) = stream.read(&mut buffer).await {
                        if read == 0 {
                            break;
                        }
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{count}");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        (port, task)
    }

    #[tokio::test]
    async fn connections_are_kept_and_names_that_resolve_inside_are_refused() {
        let (port, task) = server().await;
        let client_a = client(&format!("http://127.0.0.1:{port}/x"), Network::Loopback);
        for _ in 0..3 {
            let (response, lease) = client_a.send(get("/x")).await.unwrap().into_parts();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(&body[..], b"1");
            lease.finish();
        }
        // `localhost` is a name like any other that an attacker may point inside.
        for host in ["localhost", "127.0.0.1"] {
            for network in [Network::Public, Network::Private] {
                let refused = client(&format!("http://{host}:{port}/"), network).send(get("/")).await;
                assert!(matches!(refused, Err(EgressError::Refused { .. })), "{refused:?}");
            }
        }
        task.abort();
    }
}
