//! UDP transport of frames: cuts them into packets, protects, paces and repeats these, and puts the
//! frames together again at the other end, without ever waiting for one frame to deliver another.
//!
//! Built from the FEC framework (RFC 6363), QUIC's packet numbers and loss detection (RFC 9000, RFC
//! 9002) and RTP's feedback (RFC 4585, RFC 8888). Where it differs:
//!
//! | differs | there | here |
//! | --- | --- | --- |
//! | who finds losses | QUIC: the sender, from acknowledgements | the receiver, who knows what the code repaired |
//! | what is retransmitted | QUIC: frames in new packets | source packets with their old ESI, only if they can come in time |
//! | order | QUIC: within a stream | none; a late frame is delivered, the screen decides |
//! | payload | the application's | the frame's head, then filler that both ends can compute |

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::endpoint::{
    Arrival, Direction, Ecn, Endpoint, Flow, FrameEvent, FrameTransport, Stale, Transmit, Wire,
};
use crate::fec::{Decoder, Encoder};
use crate::frame::{Frame, FrameId};
use crate::record::{Event, Malformed, Sink};
use crate::time::{Duration, Time};
use crate::units::{Bitrate, ByteSize};

mod answers;
mod base_delay;
pub mod feedback;
pub(crate) mod filler;
mod frames;
mod horizon;
mod load;
pub(crate) mod numbers;
pub(crate) mod pacer;
pub mod packet;
pub(crate) mod queue;
pub mod rate;
pub(crate) mod receiver;
mod reporter;
mod requests;
mod resend;
mod rtt;
mod sender;
mod share;
mod sources;
pub(crate) mod trace;
mod unit;
pub(crate) mod window;

#[cfg(test)]
mod tests;

pub use packet::Packet;
pub use sender::payload_max;

use packet::Body;
use rate::Rate;
use receiver::Receiver;
use reporter::Reporter;
use requests::Requests;
use sender::Sender;
use trace::Trace;

/// How an end behaves. Both ends of a session are given the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The largest UDP payload in bytes, the envelope included; with the headers of IPv4 and UDP it must fit the path's MTU.
    pub datagram: u16,
    /// Whether lost packets are sent again.
    pub retransmit: Retransmit,
    /// What answers a receiver that asks for lost packets.
    pub answer: Answer,
    /// What becomes of a frame that would come too late.
    pub stale: Stale,
    /// How fast to send.
    pub rate: Rate,
    /// How often feedback is sent while data arrives.
    pub feedback: Duration,
    /// How much reordering is taken for no loss, at first; it grows where it proves too small.
    pub tolerance: Tolerance,
    /// Whether queues may mark packets instead of dropping them (RFC 3168).
    pub ecn: bool,
}

impl Default for Config {
    /// Datagrams of 1200 bytes pass every path of the internet (RFC 9000 §14); feedback every 20 ms
    /// tells a rate controller of a queue before it is as long as its target; reordering by 3 packets
    /// is RFC 9002's, by 10 ms what Wi-Fi's block acknowledgements cause.
    fn default() -> Self {
        Self {
            datagram: 1200,
            retransmit: Retransmit::Never,
            answer: Answer::Source,
            stale: Stale::Keep,
            rate: Rate::None,
            feedback: Duration::from_millis(20),
            tolerance: Tolerance { packets: 3, time: Duration::from_millis(10) },
            ecn: false,
        }
    }
}

/// Whether lost packets are sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retransmit {
    /// Never.
    #[default]
    Never,
    /// While the frame's deadline can be kept.
    Deadline,
    /// Until they arrive or leave the receiver's window.
    Always,
}

/// What answers a receiver that asks for lost packets (hybrid ARQ, Lin and Costello 1983).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// The packets themselves: type I, where the code came first.
    #[default]
    Source,
    /// As many fresh repair packets as are missing, which make good whatever was lost: type II,
    /// incremental redundancy. The packets themselves where the code can make none.
    Repair,
}

/// How much later a packet may come than those sent after it before it counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// Lost when so many later packet numbers have been seen; at least 1.
    pub packets: u32,
    /// Lost when the first of them was seen this long ago.
    pub time: Duration,
}

/// One end of a session over UDP.
#[derive(Debug)]
pub struct End {
    flow: Flow,
    direction: Direction,
    /// How what leaves is marked.
    ecn: Ecn,
    sender: Sender,
    receiver: Receiver,
    reporter: Reporter,
    requests: Requests,
    /// Refresh requests of the other end that the application has not been told of.
    requested: VecDeque<FrameId>,
}

impl End {
    /// The end of session `flow` that sends in `direction`, with a code for what it sends and one for
    /// what it receives.
    pub fn new(
        flow: Flow,
        direction: Direction,
        config: &Config,
        encoder: Box<dyn Encoder<Bytes>>,
        decoder: Box<dyn Decoder<Bytes>>,
    ) -> Self {
        Self {
            flow,
            direction,
            ecn: if config.ecn { Ecn::Ect0 } else { Ecn::NotEct },
            sender: Sender::new(flow, config, encoder),
            receiver: Receiver::new(flow, config, decoder),
            reporter: Reporter::new(
                config.feedback,
                usize::from(config.datagram).saturating_sub(packet::ENVELOPE_LEN + packet::Header::LEN),
            ),
            requests: Requests::default(),
            requested: VecDeque::new(),
        }
    }

    fn handle_new(&mut self, trace: &mut Trace, number: u64, packet: &Packet) -> Result<(), Malformed> {
        match &packet.body {
            Body::Source(source) | Body::Retransmission(source) => {
                self.receiver.handle_source(trace, number, source)
            }
            Body::Repair(repair) => self.receiver.handle_repair(trace, number, repair),
            Body::Answer(repair) => self.receiver.handle_answer(trace, number, repair).map(|_| ()),
            Body::Feedback(feedback) => {
                // Feedback is about what this end sent.
                trace.direction = self.direction;
                self.sender.handle_feedback(trace, number, feedback)?;
                self.requested.extend(self.requests.handle_feedback(feedback));
                Ok(())
            }
        }
    }

    fn settle(&mut self, trace: &mut Trace) {
        self.receiver.settle(trace);
        self.reporter.update(&mut self.receiver);
    }

    /// A trace of what travels towards this end.
    fn incoming<'a>(&self, now: Time, sink: &'a mut dyn Sink) -> Trace<'a> {
        Trace { now, flow: self.flow, direction: self.direction.reverse(), sink }
    }

    /// A trace of what travels from this end.
    fn outgoing<'a>(&self, now: Time, sink: &'a mut dyn Sink) -> Trace<'a> {
        Trace { now, flow: self.flow, direction: self.direction, sink }
    }
}

impl Endpoint for End {
    type Packet = Packet;

    fn handle_packet(&mut self, now: Time, arrival: Arrival<Packet>, sink: &mut dyn Sink) {
        let mut trace = self.incoming(now, sink);
        let packet = arrival.packet;
        let result = match self.receiver.handle_header(&mut trace, &packet.header) {
            Ok(None) => return,
            Ok(Some(number)) => {
                let has_data = !matches!(packet.body, Body::Feedback(_));
                self.reporter.note(now, number, &packet.header, packet.size(), has_data);
                self.reporter.note_mark(arrival.ecn);
                self.handle_new(&mut trace, number, &packet)
            }
            Err(reason) => Err(reason),
        };
        trace.direction = self.direction.reverse();
        if let Err(reason) = result {
            trace.tell(Event::Malformed(reason));
        }
        self.settle(&mut trace);
    }

    fn handle_timeout(&mut self, now: Time, sink: &mut dyn Sink) {
        self.settle(&mut self.incoming(now, sink));
        self.sender.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Time, sink: &mut dyn Sink) -> Option<Transmit<Packet>> {
        let repeat = self.sender.timeout();
        let feedback = self.reporter.poll(now, &self.receiver, &mut self.requests, repeat);
        let packet = match feedback {
            Some(feedback) => self.sender.stamp(now, Body::Feedback(Arc::new(feedback))),
            None => self.sender.poll_transmit(&mut self.outgoing(now, sink))?,
        };
        Some(Transmit { packet, ecn: self.ecn })
    }

    fn poll_timeout(&self) -> Option<Time> {
        let feedback = self.reporter.poll_timeout(&self.receiver, &self.requests, self.sender.timeout());
        Time::earliest([feedback, self.receiver.poll_timeout(), self.sender.poll_timeout()])
    }
}

impl FrameTransport for End {
    fn offer(&mut self, now: Time, frame: Frame, sink: &mut dyn Sink) {
        self.sender.offer(&mut self.outgoing(now, sink), frame);
    }

    fn backlog(&self) -> ByteSize {
        self.sender.backlog()
    }

    fn rate_estimate(&self) -> Option<Bitrate> {
        self.sender.rate_estimate()
    }

    fn adjust_repair(&mut self, steps: i8) {
        self.sender.adjust_repair(steps);
    }

    fn poll_event(&mut self) -> Option<FrameEvent> {
        (self.receiver.poll_event())
            .or_else(|| self.sender.poll_dropped().map(FrameEvent::Dropped))
            .or_else(|| self.requested.pop_front().map(FrameEvent::RefreshRequested))
    }

    fn request_refresh(&mut self, _now: Time, frame: FrameId) {
        self.requests.ask(frame);
    }
}
