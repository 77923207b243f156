//! What a server brings to a handshake, without remembering with whom it shakes hands.

use std::net::{IpAddr, SocketAddr};

use hkdf::hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::session::key::keyed_hash;
use crate::session::setup::Introduction;

/// Makes a server's introductions from what their clients say, under a secret of its own: who has not
/// been sent one cannot know it, and the server can tell one that comes back.
#[derive(Clone, Debug)]
pub(super) struct Cookies(Hmac<Sha256>);

impl Cookies {
    /// Those under `secret`.
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self(keyed_hash(secret))
    }

    /// The introduction for `client`, which is at `from`.
    pub(super) fn bake(&self, from: SocketAddr, client: Introduction) -> Introduction {
        Introduction::of(self.hash(from, client))
    }

    /// Whether `server` is that; takes as long whatever the answer.
    pub(super) fn knows(&self, from: SocketAddr, client: Introduction, server: Introduction) -> bool {
        self.hash(from, client).verify_truncated_left(&server.to_bytes()).is_ok()
    }

    fn hash(&self, from: SocketAddr, client: Introduction) -> Hmac<Sha256> {
        let ip = match from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        (self.0.clone())
            .chain_update(ip.octets())
            .chain_update(from.port().to_be_bytes())
            .chain_update(client.to_bytes())
    }
}
