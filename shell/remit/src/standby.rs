//! What a node does that stands by: it passes every connection on to the active one, byte for byte, and says from whom it is.
//!
//! ```text
//! standby → active   "remit-forward/1\n", 32 random bytes S
//! active  → standby  32 random bytes A, HMAC(key, "active" S A)
//! standby → active   u16 length, the client's address, HMAC(key, "client" A S address)
//! ```
//!
//! Then the client's own bytes follow: where the gateway speaks TLS, that is between client and active node. What policies know of a call's
//! address is the client's, so nobody without the cluster's key may say whose it is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use remit_cluster::Lease;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::output::Failure;
use crate::serve::{CONNECTIONS_MAX, serve};
use crate::upkeep::Stops;

const GREETING: &[u8; 16] = b"remit-forward/1\n";
/// How long the two nodes may take to know each other.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection to the active node may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long is waited until the active node is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a client waits for a node to be active.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may go on when the active node has ended its connection.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The longest address of a client, in bytes.
const ADDRESS_BYTES_MAX: usize = 64;

/// How nodes know each other.
pub(crate) struct Forwarding(hmac::Key);

impl Forwarding {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// On the active node: from whom a connection is that another node passes on.
    pub(crate) async fn greet(&self, stream: &mut TcpStream) -> Option<SocketAddr> {
        let greeted = async {
            let mut greeting = [0; 16];
            stream.read_exact(&mut greeting).await?;
            if greeting != *GREETING {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            let (mut theirs, ours) = ([0; 32], random()?);
            stream.read_exact(&mut theirs).await?;
            let tag = hmac::sign(&self.0, &[b"active", theirs.as_slice(), &ours].concat());
            stream.write_all(&[ours.as_slice(), tag.as_ref()].concat()).await?;
            let length = usize::from(stream.read_u16().await?);
            if length > ADDRESS_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let (mut address, mut tag) = (vec![0; length], [0; 32]);
            stream.read_exact(&mut address).await?;
            stream.read_exact(&mut tag).await?;
            let said = [b"client", ours.as_slice(), &theirs, &address].concat();
            hmac::verify(&self.0, &said, &tag).map_err(|_| io::ErrorKind::PermissionDenied)?;
            let address = std::str::from_utf8(&address).ok().and_then(|address| address.parse().ok());
            address.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
        };
        tokio::time::timeout(GREETING_TIMEOUT, greeted).await.ok()?.ok()
    }

    /// On a node that stands by: says from whom a connection is.
    async fn introduce(&self, stream: &mut TcpStream, client: SocketAddr) -> io::Result<()> {
        let introduced = async {
            let ours = random()?;
            stream.write_all(&[GREETING.as_slice(), &ours].concat()).await?;
            let (mut theirs, mut tag) = ([0; 32], [0; 32]);
            stream.read_exact(&mut theirs).await?;
            stream.read_exact(&mut tag).await?;
            let said = [b"active", ours.as_slice(), &theirs].concat();
            hmac::verify(&self.0, &said, &tag).map_err(|_| io::ErrorKind::PermissionDenied)?;
            let address = client.to_string();
            let tag = hmac::sign(&self.0, &[b"client", theirs.as_slice(), &ours, address.as_bytes()].concat());
            let length = u16::try_from(address.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes(), address.as_bytes(), tag.as_ref()].concat()).await
        };
        tokio::time::timeout(GREETING_TIMEOUT, introduced).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system has no randomness"))?;
    Ok(bytes)
}

/// Passes on what comes until it is dropped; resolves when this process is told to stop.
pub(crate) async fn stand_by(
    (listener, control): (&TcpListener, &TcpListener),
    forwarding: &Arc<Forwarding>,
    (active, followed): (watch::Receiver<Option<Lease>>, &Arc<AtomicU64>),
    stops: &mut Stops,
) -> Result<(), Failure> {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let passing = async {
        loop {
            let Ok((client, peer)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
            let (forwarding, active) = (Arc::clone(forwarding), active.clone());
            tokio::spawn(async move {
                let _ = pass(client, peer, &active, &forwarding).await;
                drop(slot);
            });
        }
    };
    let (said, followed) = (active.clone(), Arc::clone(followed));
    let answer = move |request: Request<Incoming>, _peer: SocketAddr| {
        let response = match request.uri().path() {
            "/metrics" => measured(followed.load(Ordering::Relaxed)),
            path => told(path, said.borrow().as_ref()),
        };
        async move { response }
    };
    let (_running, stop) = watch::channel(false);
    let answering = serve(control, None, None, answer, stop);
    tokio::select! {
        () = passing => Ok(()),
        done = answering => done.map_err(Failure::new),
        () = stops.stopped() => Ok(()),
    }
}

/// What Prometheus reads of a node that stands by.
fn measured(batches: u64) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(crate::cluster::metrics(false, batches))));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

/// What the operator's interface says on a node that stands by.
fn told(path: &str, active: Option<&Lease>) -> Response<Full<Bytes>> {
    let (status, body) = if path == "/healthz" {
        (StatusCode::OK, json!({"standing_by": true}))
    } else {
        let detail = match active {
            Some(lease) => format!("this node stands by: the active one, in term {}, is at {}", lease.term, lease.address),
            None => "this node stands by, and no node is active".to_owned(),
        };
        let title = "This node stands by";
        (StatusCode::SERVICE_UNAVAILABLE, json!({"title": title, "status": 503, "detail": detail}))
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// Passes a connection on. While nobody is active the client waits, within bounds: nothing of what it says has gone anywhere yet. It ends when
/// another node is active: the one before may never say that it is gone.
async fn pass(
    mut client: TcpStream,
    peer: SocketAddr,
    leases: &watch::Receiver<Option<Lease>>,
    forwarding: &Forwarding,
) -> io::Result<()> {
    let connected = async {
        loop {
            let lease = leases.borrow().clone();
            if let Some(lease) = lease
                && let Ok(Ok(mut stream)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&lease.address)).await
                && forwarding.introduce(&mut stream, peer).await.is_ok()
            {
                return (stream, lease.node);
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    let (mut active, node) = tokio::time::timeout(PATIENCE, connected).await.map_err(|_| io::ErrorKind::TimedOut)?;
    let _ = (client.set_nodelay(true), active.set_nodelay(true));
    let mut leases = leases.clone();
    tokio::select! {
        done = both_ways(&mut client, &mut active) => done,
        Ok(_) = leases.wait_for(|lease| lease.as_ref().is_some_and(|lease| lease.node != node)) => Ok(()),
    }
}

/// Passes on what both say. When the active node has ended, so has the connection, but for what the client is saying still.
async fn both_ways(client: &mut TcpStream, active: &mut TcpStream) -> io::Result<()> {
    let ((mut from_client, mut to_client), (mut from_active, mut to_active)) = (client.split(), active.split());
    let there = async {
        tokio::io::copy(&mut from_client, &mut to_active).await?;
        to_active.shutdown().await
    };
    let back = async {
        tokio::io::copy(&mut from_active, &mut to_client).await?;
        to_client.shutdown().await
    };
    let (mut there, mut back) = (std::pin::pin!(there), std::pin::pin!(back));
    tokio::select! {
        done = there.as_mut() => { done?; back.await }
        done = back.as_mut() => {
            done?;
            tokio::time::timeout(LAST_WORDS, there).await.unwrap_or(Ok(()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who the active node takes a client for, when a node with another key or the same one introduces it.
    async fn introduced(key: &[u8; 32]) -> (io::Result<()>, Option<SocketAddr>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let standing = Forwarding::new(key);
        let introducing = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            standing.introduce(&mut stream, "192.0.2.7:4711".parse().unwrap()).await
        };
        let greeting = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            Forwarding::new(&[1; 32]).greet(&mut stream).await
        };
        tokio::join!(introducing, greeting)
    }

    #[tokio::test]
    async fn only_a_node_of_the_cluster_says_whose_a_connection_is() {
        let (introduced_well, greeted) = introduced(&[1; 32]).await;
        introduced_well.unwrap();
        assert_eq!(greeted, Some("192.0.2.7:4711".parse().unwrap()));
        let (refused, greeted) = introduced(&[2; 32]).await;
        assert!(refused.is_err());
        assert_eq!(greeted, None);
    }

    #[tokio::test]
    async fn a_client_that_speaks_to_the_nodes_port_is_hung_up_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"POST /spaces/support/mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\r\n\r\n").await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(Forwarding::new(&[1; 32]).greet(&mut stream).await, None);
    }

    /// A client that a node passes on to another, with what says who is active.
    async fn passed() -> (TcpStream, TcpStream, watch::Sender<Option<Lease>>, tokio::task::JoinHandle<io::Result<()>>) {
        let [standing, active] =
            [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let address = active.local_addr().unwrap().to_string();
        let (tell, told) = watch::channel(Some(Lease { term: 1, node: "one".to_owned(), address, beat: 0, released: false }));
        let client = TcpStream::connect(standing.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = standing.accept().await.unwrap();
        let passing = tokio::spawn(async move { pass(stream, peer, &told, &Forwarding::new(&[1; 32])).await });
        let (mut stream, _) = active.accept().await.unwrap();
        Forwarding::new(&[1; 32]).greet(&mut stream).await.unwrap();
        (client, stream, tell, passing)
    }

    #[tokio::test]
    async fn a_connection_ends_when_another_node_is_active() {
        let (mut client, _silent, tell, passing) = passed().await;
        tell.send_modify(|lease| lease.as_mut().unwrap().beat = 1);
        client.write_all(b"x").await.unwrap();
        tell.send_modify(|lease| lease.as_mut().unwrap().node = "two".to_owned());
        passing.await.unwrap().unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_client_keeps_no_connection_that_the_active_node_has_ended() {
        let (_silent, stream, _tell, passing) = passed().await;
        drop(stream);
        tokio::time::timeout(2 * LAST_WORDS, passing).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_has_said_all_hears_the_answer() {
        let (mut client, mut stream, tell, passing) = passed().await;
        // This node is the active one from now on, and reads the lease no more.
        drop(tell);
        client.write_all(b"asked").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"asked");
        stream.write_all(b"answered").await.unwrap();
        drop(stream);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answered");
        passing.await.unwrap().unwrap();
    }
}
