//! A stream under TLS to a host that is no HTTP server, such as a syslog receiver: the same rules about addresses as for [`crate::Client`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use remit_model::Network;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::EgressError;
use crate::address::permits;

/// Connects to `address` (`host:port`), which may resolve to nothing but what `network` permits, and speaks TLS with whoever proves to be that
/// host. No application protocol is offered.
pub async fn connect_tls(
    address: &str,
    network: Network,
    tls: &Arc<ClientConfig>,
    timeout: Duration,
) -> Result<TlsStream<TcpStream>, EgressError> {
    match tokio::time::timeout(timeout, connect(address, network, tls)).await {
        Ok(connected) => connected,
        Err(_) => Err(EgressError::Timeout(address.to_owned())),
    }
}

async fn connect(address: &str, network: Network, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, EgressError> {
    let fault = || EgressError::Url(address.chars().take(200).collect());
    let (host, port) = address.rsplit_once(':').ok_or_else(fault)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().map_err(|_| fault())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| fault())?;
    let stream = permitted(host, port, network).await?;
    let mut config = ClientConfig::clone(tls);
    config.alpn_protocols.clear();
    let broke = |source| EgressError::Connect { host: host.to_owned(), source };
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(broke)
}

/// A connection to one of the addresses of a host that the registration permits.
pub(crate) async fn permitted(host: &str, port: u16, network: Network) -> Result<TcpStream, EgressError> {
    let broke = |source| EgressError::Connect { host: host.to_owned(), source };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(broke)?.collect();
    let permitted: Vec<SocketAddr> = addresses.iter().copied().filter(|address| permits(network, address.ip())).collect();
    if permitted.is_empty() {
        let network = match network {
            Network::Public => "public",
            Network::Private => "private",
            Network::Loopback => "loopback",
        };
        let address = addresses.first().map_or_else(|| "nothing".to_owned(), |address| address.ip().to_string());
        return Err(EgressError::Refused { host: host.to_owned(), address, network });
    }
    let stream = TcpStream::connect(permitted.as_slice()).await.map_err(broke)?;
    stream.set_nodelay(true).map_err(broke)?;
    Ok(stream)
}
