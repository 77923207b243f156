//! What quinn-proto is given to work with: its settings, and the sources of all that it draws at random.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use quinn_proto::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, ServerConfig,
    TransportConfig, VarInt,
};
use rand::Rng;

use super::congestion::{Coupling, Factory};
use super::packet::IP_UDP_HEADER;
use super::plaintext::Plaintext;
use super::{Config, Mapping};
use crate::endpoint::Direction;
use crate::rng::{Draws, Stream};

/// Bytes of the connection ids that an end chooses for itself: what most servers choose.
pub(super) const ID_LEN: usize = 8;

/// Bytes of the id that a client makes up for a server that has not chosen one.
const FIRST_ID_LEN: usize = 20;

/// The round trip before one was measured (RFC 9002, section 6.2.2).
pub(super) const INITIAL_ROUND_TRIP: std::time::Duration = std::time::Duration::from_millis(333);

/// Streams that may be open at once: as many frames as may wait.
const STREAMS_MAX: u32 = 4096;

/// Bytes of one stream that the receiver takes without having read any: more than any frame has.
const STREAM_WINDOW: u32 = 1 << 27;

/// Datagrams that wait to be sent, in bytes of memory: more than is ever handed over ahead of time.
const DATAGRAMS_MAX: usize = 1 << 20;

/// An end's side of quinn-proto, which accepts connections at the server.
pub(super) fn endpoint(
    config: &Config,
    direction: Direction,
    coupling: &Coupling,
    stream: Stream,
) -> Endpoint {
    let mut settings = EndpointConfig::new(Arc::new(Plaintext));
    let (mut seed, ids) = ([0; 32], stream.part(1));
    stream.at(0).fill_bytes(&mut seed);
    settings.rng_seed(Some(seed));
    settings.cid_generator(move || Box::new(Ids(ids.at(0))));
    // Randomly flipped bits would only make packets harder to read.
    settings.grease_quic_bit(false);
    // What is larger than a datagram can be is refused, and the default is kept.
    let _ = settings.max_udp_payload_size(config.mtu.saturating_sub(IP_UDP_HEADER));
    let server = (direction == Direction::Down).then(|| {
        let mut server = ServerConfig::new(Arc::new(Plaintext), Arc::new(Plaintext));
        server.transport_config(Arc::new(transport(config, coupling, stream.part(2))));
        server.validation_token.sent(0);
        Arc::new(server)
    });
    Endpoint::new(Arc::new(settings), server, false, None)
}

/// What a client connects with.
pub(super) fn client(config: &Config, coupling: &Coupling, stream: Stream) -> ClientConfig {
    let mut client = ClientConfig::new(Arc::new(Plaintext));
    client.transport_config(Arc::new(transport(config, coupling, stream.part(2))));
    let first = stream.part(3);
    client.initial_dst_cid_provider(Arc::new(move || id::<FIRST_ID_LEN>(&mut first.at(0))));
    client
}

/// Where the other end is, for the end that sends in `direction`. Connections know each other by their ids,
/// so all sessions may have the same addresses.
pub(super) fn peer(direction: Direction) -> SocketAddr {
    let (host, port) = match direction {
        Direction::Down => (2, 49_152),
        Direction::Up => (1, 443),
    };
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 18, 0, host)), port)
}

fn transport(config: &Config, coupling: &Coupling, stream: Stream) -> TransportConfig {
    let mut settings = TransportConfig::default();
    let payload_max = config.mtu.saturating_sub(IP_UDP_HEADER);
    settings
        .initial_mtu(payload_max)
        .min_mtu(payload_max)
        .mtu_discovery_config(None)
        .initial_rtt(INITIAL_ROUND_TRIP)
        // A session lasts as long as the run, however long the path is down.
        .max_idle_timeout(None)
        .allow_spin(false)
        .enable_segmentation_offload(false)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::MAX)
        .send_window(u64::MAX)
        // Every stream has a priority of its own, so that nothing is shared out in turn; and without this a
        // newer stream that was begun would be finished before what an older one lost is sent again.
        .send_fairness(true)
        .datagram_send_buffer_size(DATAGRAMS_MAX)
        .datagram_receive_buffer_size(match config.mapping {
            Mapping::Streams => None,
            Mapping::Datagrams => Some(DATAGRAMS_MAX),
        })
        .congestion_controller_factory(Arc::new(Factory::new(config.congestion, coupling.clone(), stream)));
    settings
}

/// Connection ids from a stream of the seed.
struct Ids(Draws);

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        id::<ID_LEN>(&mut self.0)
    }

    fn cid_len(&self) -> usize {
        ID_LEN
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

fn id<const LEN: usize>(draws: &mut Draws) -> ConnectionId {
    let mut bytes = [0; LEN];
    draws.fill_bytes(&mut bytes);
    ConnectionId::new(&bytes)
}
