//! The place of TLS: a handshake of the same messages and sizes, and packets that are not encrypted.
//!
//! What is encrypted cannot be told apart, and what TLS draws at random cannot be played again. The
//! exchange is TLS 1.3's as QUIC uses it (RFC 9001): the client speaks first, the server may send data with
//! its first flight, the client after one round trip. Every packet has the tag of AES-GCM in its length.
//! None of this protects anything: it never leaves the simulator.

use std::any::Any;
use std::sync::Arc;

use bytes::BytesMut;
use quinn_proto::crypto::{
    AeadKey, ClientConfig, CryptoError, ExportKeyingMaterialError, HandshakeTokenKey, HeaderKey, HmacKey,
    KeyPair, Keys, PacketKey, ServerConfig, Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError, TransportErrorCode};

/// Bytes of the tag behind every packet, as of all AEADs of TLS 1.3 (RFC 9001, section 5.3).
pub(super) const TAG_LEN: usize = 16;

/// Bytes of header protection's sample (RFC 9001, section 5.4.2); it decides how short a packet may be.
const SAMPLE_LEN: usize = 16;

/// Both ends' configuration of what stands for TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plaintext;

impl ClientConfig for Plaintext {
    fn start_session(
        self: Arc<Self>,
        _version: u32,
        _server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        Ok(Box::new(Handshake::new(Side::Client, params)))
    }
}

impl ServerConfig for Plaintext {
    fn initial_keys(&self, _version: u32, _dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        Ok(keys())
    }

    fn retry_tag(&self, _version: u32, _orig_dst_cid: &ConnectionId, _packet: &[u8]) -> [u8; 16] {
        [0; 16]
    }

    fn start_session(self: Arc<Self>, _version: u32, params: &TransportParameters) -> Box<dyn Session> {
        Box::new(Handshake::new(Side::Server, params))
    }
}

/// The messages of the handshake, in their order. Those without transport parameters only have a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    /// The client's, with its transport parameters; the datagram is padded anyway.
    ClientHello,
    /// The server's half of the key exchange.
    ServerHello,
    /// The server's parameters, certificate and proof.
    ServerFinished,
    /// The client's confirmation.
    ClientFinished,
}

impl Flight {
    /// What TLS 1.3 has beside the transport parameters, in bytes: X25519 and one ECDSA P-256 certificate
    /// of 600 bytes, messages as in RFC 8448 and RFC 8446, section 4.
    const fn size(self) -> usize {
        match self {
            Self::ClientHello => 230,
            Self::ServerHello => 90,
            Self::ServerFinished => 750,
            Self::ClientFinished => 36,
        }
    }

    const fn sender(self) -> Side {
        match self {
            Self::ClientHello | Self::ClientFinished => Side::Client,
            Self::ServerHello | Self::ServerFinished => Side::Server,
        }
    }

    const fn has_params(self) -> bool {
        matches!(self, Self::ClientHello | Self::ServerFinished)
    }

    /// The message after this one; none after the last.
    const fn next(self) -> Option<Self> {
        match self {
            Self::ClientHello => Some(Self::ServerHello),
            Self::ServerHello => Some(Self::ServerFinished),
            Self::ServerFinished => Some(Self::ClientFinished),
            Self::ClientFinished => None,
        }
    }
}

/// A handshake that one end takes part in. A message is its length and that of the transport parameters
/// in it, two bytes each, these, and zeros up to its length.
struct Handshake {
    side: Side,
    params: TransportParameters,
    peer_params: Option<TransportParameters>,
    /// The next message of either end; none when the handshake is done.
    next: Option<Flight>,
    /// What has arrived of it.
    received: Vec<u8>,
    /// The server's hello is here, so that the client has the keys of the handshake.
    hello_read: bool,
}

impl Handshake {
    fn new(side: Side, params: &TransportParameters) -> Self {
        Self {
            side,
            params: *params,
            peer_params: None,
            next: Some(Flight::ClientHello),
            received: Vec::new(),
            hello_read: false,
        }
    }

    fn write(&mut self, flight: Flight, out: &mut Vec<u8>) {
        let mut params = Vec::new();
        if flight.has_params() {
            self.params.write(&mut params);
        }
        let length = flight.size() + params.len();
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.extend_from_slice(&(params.len() as u16).to_be_bytes());
        out.extend_from_slice(&params);
        out.resize(out.len() + flight.size(), 0);
        self.next = flight.next();
    }

    /// Takes the other end's next message off what was received, where it is whole.
    fn read(&mut self) -> Result<bool, TransportError> {
        let Some(flight) = self.next.filter(|flight| flight.sender() != self.side) else {
            return if self.received.is_empty() { Ok(false) } else { Err(unexpected()) };
        };
        let Some((head, body)) = self.received.split_at_checked(4) else { return Ok(false) };
        let [length, params] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
        let Some(body) = body.get(..usize::from(length)) else { return Ok(false) };
        if flight.has_params() {
            let mut params = body.get(..usize::from(params)).ok_or_else(unexpected)?;
            self.peer_params = Some(TransportParameters::read(self.side, &mut params)?);
        }
        self.hello_read |= flight == Flight::ServerHello;
        self.received.drain(..4 + usize::from(length));
        self.next = flight.next();
        Ok(true)
    }
}

/// As if TLS had alerted `unexpected_message` (RFC 8446, section 6).
fn unexpected() -> TransportError {
    TransportError {
        code: TransportErrorCode::crypto(10),
        frame: None,
        reason: "unexpected handshake message".to_owned(),
    }
}

impl Session for Handshake {
    fn initial_keys(&self, _dst_cid: &ConnectionId, _side: Side) -> Keys {
        keys()
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.next.is_some()
    }

    fn read_handshake(&mut self, received: &[u8]) -> Result<bool, TransportError> {
        self.received.extend_from_slice(received);
        while self.read()? {}
        Ok(false)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        Ok(self.peer_params)
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        if std::mem::take(&mut self.hello_read) {
            return Some(keys());
        }
        let flight = self.next.filter(|flight| flight.sender() == self.side)?;
        self.write(flight, out);
        // Whoever has sent these can read and write what comes after them.
        (flight != Flight::ClientHello).then(keys)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        Some(keys().packet)
    }

    fn is_valid_retry(&self, _orig_dst_cid: &ConnectionId, _header: &[u8], _payload: &[u8]) -> bool {
        false
    }

    fn export_keying_material(
        &self,
        _output: &mut [u8],
        _label: &[u8],
        _context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        Err(ExportKeyingMaterialError)
    }
}

fn keys() -> Keys {
    Keys {
        header: KeyPair { local: Box::new(Plaintext), remote: Box::new(Plaintext) },
        packet: KeyPair { local: Box::new(Plaintext), remote: Box::new(Plaintext) },
    }
}

impl HeaderKey for Plaintext {
    fn decrypt(&self, _pn_offset: usize, _packet: &mut [u8]) {}

    fn encrypt(&self, _pn_offset: usize, _packet: &mut [u8]) {}

    fn sample_size(&self) -> usize {
        SAMPLE_LEN
    }
}

impl PacketKey for Plaintext {
    /// The tag is a check against accidents, and zeros.
    fn encrypt(&self, _packet: u64, packet: &mut [u8], _header_len: usize) {
        let (text, tag) = packet.split_at_mut(packet.len() - TAG_LEN);
        tag[..4].copy_from_slice(&crc32fast::hash(text).to_be_bytes());
    }

    fn decrypt(&self, _packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        let text = payload.len().checked_sub(TAG_LEN).ok_or(CryptoError)?;
        let tag = payload.split_off(text);
        let mut check = crc32fast::Hasher::new();
        check.update(header);
        check.update(payload);
        if tag[..4] == check.finalize().to_be_bytes() { Ok(()) } else { Err(CryptoError) }
    }

    fn tag_len(&self) -> usize {
        TAG_LEN
    }

    fn confidentiality_limit(&self) -> u64 {
        // AES-GCM's (RFC 9001, section 6.6).
        1 << 23
    }

    fn integrity_limit(&self) -> u64 {
        1 << 52
    }
}

/// Stateless resets are for hosts that have forgotten a connection, which ends here never do.
impl HmacKey for Plaintext {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        let check = crc32fast::hash(data).to_be_bytes();
        signature.iter_mut().zip(check.iter().cycle()).for_each(|(to, from)| *to = *from);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let mut expected = [0; 32];
        self.sign(data, &mut expected);
        if signature == expected { Ok(()) } else { Err(CryptoError) }
    }
}

/// Tokens let a client prove its address at once; nobody is given one here.
impl HandshakeTokenKey for Plaintext {
    fn aead_from_hkdf(&self, _random_bytes: &[u8]) -> Box<dyn AeadKey> {
        Box::new(Self)
    }
}

impl AeadKey for Plaintext {
    fn seal(&self, data: &mut Vec<u8>, _additional_data: &[u8]) -> Result<(), CryptoError> {
        data.resize(data.len() + TAG_LEN, 0);
        Ok(())
    }

    fn open<'a>(&self, _data: &'a mut [u8], _additional_data: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        Err(CryptoError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an end has that says nothing of itself.
    fn params() -> TransportParameters {
        TransportParameters::read(Side::Client, &mut &[][..]).unwrap()
    }

    /// The bytes that an end writes now, and whether it gets keys with them.
    fn written(end: &mut Handshake) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let keys = end.write_handshake(&mut out);
        (out, keys.is_some())
    }

    #[test]
    fn keys_come_in_the_order_of_tls_whatever_pieces_the_messages_come_in() {
        let params = params();
        let (mut client, mut server) =
            (Handshake::new(Side::Client, &params), Handshake::new(Side::Server, &params));
        assert_eq!(written(&mut server), (Vec::new(), false), "the client speaks first");
        let (hello, keys) = written(&mut client);
        assert!(!keys, "and waits for the server");
        for piece in hello.chunks(7) {
            server.read_handshake(piece).unwrap();
        }
        let ((hello, early), (finished, data)) = (written(&mut server), written(&mut server));
        assert!(early && data, "the server may send data with its first flight");
        client.read_handshake(&hello).unwrap();
        assert_eq!(written(&mut client), (Vec::new(), true));
        client.read_handshake(&finished[..100]).unwrap();
        assert_eq!(written(&mut client), (Vec::new(), false));
        client.read_handshake(&finished[100..]).unwrap();
        let (finished, keys) = written(&mut client);
        assert!(keys && !client.is_handshaking() && server.is_handshaking());
        server.read_handshake(&finished).unwrap();
        assert!(!server.is_handshaking());
        assert!(server.read_handshake(&[1]).is_err(), "there is nothing left to say");
    }

    #[test]
    fn transport_parameters_that_make_no_sense_are_an_error() {
        let mut server = Handshake::new(Side::Server, &params());
        assert!(server.read_handshake(&[0, 2, 0, 9, 1, 1]).is_err());
        let mut server = Handshake::new(Side::Server, &params());
        assert!(server.read_handshake(&[0, 2, 0, 2, 1, 9]).is_err());
    }

    #[test]
    fn a_packet_whose_bytes_changed_is_refused() {
        let mut packet = vec![7; 40];
        PacketKey::encrypt(&Plaintext, 0, &mut packet, 5);
        let decrypted = |packet: &[u8]| {
            let mut payload = BytesMut::from(&packet[5..]);
            PacketKey::decrypt(&Plaintext, 0, &packet[..5], &mut payload).map(|()| payload.len())
        };
        assert!(matches!(decrypted(&packet), Ok(19)));
        packet[9] ^= 1;
        assert!(decrypted(&packet).is_err());
        assert!(decrypted(&packet[..10]).is_err());
    }
}
