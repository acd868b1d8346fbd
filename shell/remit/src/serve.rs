//! The listener: connections, TLS whose certificate can change, and an end that lets calls finish.

use std::borrow::Borrow;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::certificate::not_after_secs;
use crate::standby::Forwarding;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most connections at once.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;
/// How long calls under way may take to finish when the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A certificate that is read again when its files change.
#[derive(Debug)]
pub(crate) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads a certificate chain and its key, both PEM.
    pub(crate) fn read(chain: &Path, key: &Path) -> Result<Arc<Self>, String> {
        let current = certified(chain, key)?;
        Ok(Arc::new(Self { chain: chain.to_owned(), key: key.to_owned(), current: ArcSwap::from_pointee(current) }))
    }

    /// Reads it again. What can't be read replaces nothing.
    pub(crate) fn reload(&self) -> Result<(), String> {
        self.current.store(Arc::new(certified(&self.chain, &self.key)?));
        Ok(())
    }

    /// When its files were last written.
    pub(crate) fn written_at(&self) -> Option<(SystemTime, SystemTime)> {
        let at = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        Some((at(&self.chain)?, at(&self.key)?))
    }

    /// When the first of its chain ends, in seconds since the epoch.
    pub(crate) fn ends_secs(&self) -> Option<u64> {
        self.current.load().cert.iter().filter_map(|certificate| not_after_secs(certificate)).min()
    }

    fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified(chain: &Path, key: &Path) -> Result<CertifiedKey, String> {
    let fault = |path: &Path, error: &dyn std::fmt::Display| format!("`{}`: {error}", path.display());
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(chain).and_then(Iterator::collect).map_err(|error| fault(chain, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| fault(key, &error))?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private).map_err(|error| fault(key, &error))?;
    let certified = CertifiedKey::new(certificates, signing);
    certified.keys_match().map_err(|error| fault(key, &error))?;
    Ok(certified)
}

/// Serves until `stop` says so, then lets what is under way finish. With `forwarding`, other nodes connect, and say whose a connection is.
pub(crate) async fn serve<H, F, B>(
    listener: impl Borrow<TcpListener>,
    certificate: Option<Arc<Certificate>>,
    forwarding: Option<Arc<Forwarding>>,
    handle: H,
    stop: watch::Receiver<bool>,
) -> Result<(), String>
where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Error = Infallible> + Send + 'static,
    B::Data: Send,
{
    let acceptor = certificate.as_ref().map(Certificate::acceptor).transpose()?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stopping = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.borrow().accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        // A connection that failed before it began is no reason to stop; no more file descriptors passes with time.
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let (handle, acceptor, forwarding, stop) = (handle.clone(), acceptor.clone(), forwarding.clone(), stop.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let (mut stream, mut peer) = (stream, peer);
            if let Some(forwarding) = forwarding {
                let Some(client) = forwarding.greet(&mut stream).await else { return };
                peer = client;
            }
            connection(stream, peer, acceptor, handle, stop).await;
            drop(slot);
        });
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN_MAX, slots.acquire_many(all)).await;
    Ok(())
}

async fn connection<H, F, B>(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    handle: H,
    stop: watch::Receiver<bool>,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Error = Infallible> + Send + 'static,
    B::Data: Send,
{
    match acceptor {
        None => http(TokioIo::new(stream), peer, handle, stop).await,
        Some(acceptor) => {
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else { return };
            http(TokioIo::new(stream), peer, handle, stop).await;
        }
    }
}

async fn http<I, H, F, B>(io: I, peer: SocketAddr, handle: H, mut stop: watch::Receiver<bool>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Error = Infallible> + Send + 'static,
    B::Data: Send,
{
    let service = service_fn(move |request| {
        let answered = handle(request, peer);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
