//! The only way out, over HTTP and for streams under TLS. A [`Client`] belongs to one origin, keeps its connections, and connects to nothing but the
//! addresses that the registration permits: the check is made on the very address that is connected to, so a name that is
//! rebound between check and use gains nothing. Redirects are never followed.

mod address;
mod client;
mod proxy;
mod stream;
mod tls;

pub use address::permits;
pub use client::{Client, EgressError, FETCH_BYTES_MAX, Fetched, Lease, fetch};
pub use proxy::{Hosts, proxy};
pub use stream::connect_tls;
pub use tls::{tls_config, tls_config_with_ca};
