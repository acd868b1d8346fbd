//! How long a token that was verified before takes: `cargo run --release -p remit-authority --example hit`.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use remit_authority::{Authenticator, Authority, Directory, KeyStore, PortError};
use remit_identity::secret::SecretDigest;
use remit_model::{AgentId, Organization, SpaceId};
use zeroize::Zeroizing;

struct Fixed;

/// The key of a seed that everybody knows.
fn stored() -> Vec<u8> {
    [&[1][..], &1_800_000_000_u64.to_be_bytes(), &[1; 32]].concat()
}

impl KeyStore for Fixed {
    fn load(&self) -> Result<Option<Zeroizing<Vec<u8>>>, PortError> {
        Ok(Some(Zeroizing::new(stored())))
    }

    fn save(&self, _: Option<&[u8]>, _: &[u8]) -> Result<bool, PortError> {
        Ok(true)
    }
}

impl Directory for Fixed {
    fn organization(&self) -> Arc<Organization> {
        Arc::default()
    }

    fn space_addresses(&self) -> Arc<BTreeMap<SpaceId, String>> {
        Arc::default()
    }

    fn client_secret_digests(&self, _: &AgentId) -> Vec<SecretDigest> {
        Vec::new()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = 1_800_000_000;
    let claims = remit_identity::access::AccessClaims {
        issuer: "https://remit.example".into(),
        agent: AgentId::new("deployer")?,
        user: Some("corp/alice".into()),
        audience: "https://remit.example/spaces/ops/mcp".into(),
        issued_at_secs: now,
        expires_at_secs: now + 900,
        id: "id".into(),
        scope: None,
    };
    let token = claims.sign(&remit_identity::jwk::SigningKey::from_seed(&[1; 32])?)?;
    let authority = Authority::new(&claims.issuer, Arc::new(Fixed), Arc::new(Fixed), remit_egress::tls_config(), now)?;
    let authenticator = Authenticator::new(Arc::new(authority));
    let header = format!("Bearer {token}");
    let ask = || {
        let asked = std::pin::pin!(authenticator.authenticate(Some(&header), now));
        matches!(asked.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(remit_kernel::Fact::Known(_)))
    };
    let start = Instant::now();
    let first = ask();
    let miss = start.elapsed();
    let start = Instant::now();
    let hits = (0..1_000_000).filter(|_| ask()).count();
    let line = format!("known {first}, first {miss:?}, then {:?} each ({hits})\n", start.elapsed() / 1_000_000);
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    Ok(())
}
