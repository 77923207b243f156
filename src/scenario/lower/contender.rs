//! Transports and the codes on them.

use super::{Lower, Neighbour, Protocol};
use crate::fec::adaptive::Adaptive;
use crate::fec::reed_solomon::{Partial, PerFrame, PerPackets};
use crate::fec::repeat::Repeat;
use crate::fec::xor::Xor;
use crate::fec::xor_2d::{Layout, Xor2d};
use crate::fec::{InvalidScheme, Scheme};
use crate::scenario::file::ScenarioFile;
use crate::scenario::file::contender::{
    self as written, Congestion, Contender, Fec, MatrixLayout, RateControl, ReedSolomon, Stale, Tcp, Udp,
};
use crate::scenario::file::path::Link;
use crate::scenario::problem::Problem;
use crate::time::Duration;
use crate::transport::packet::IP_UDP_HEADER;
use crate::transport::rate::{Limits, Rate};
use crate::units::Bitrate;
use crate::{endpoint, tcp, transport};

/// The rate at which a sender with a fixed rate sends where the scenario names none: its share of the
/// bottleneck, which it is taken to know. None where there is no bottleneck of a constant rate.
pub(super) struct Pace {
    down: Option<Bitrate>,
    up: Option<Bitrate>,
}

impl Pace {
    pub(super) fn of(file: &ScenarioFile) -> Self {
        let sessions = u64::from(file.session.count.value);
        let share = |link: &Link| {
            let rate = link.bottleneck.as_ref()?.rate.as_ref()?;
            Some(Bitrate::from_bps(rate.bps() / sessions))
        };
        Self { down: share(&file.path.down), up: share(&file.path.up) }
    }
}

impl Lower<'_> {
    pub(super) fn neighbour(&mut self, neighbour: &written::Neighbour, pace: &Pace) -> Option<Neighbour> {
        let protocol = match (&neighbour.tcp, &neighbour.udp) {
            (Some(tcp), _) => Protocol::Tcp(self.tcp(tcp)),
            (None, Some(udp)) => self.udp(udp, pace),
            (None, None) => return None,
        };
        let traffic = self.workload(&neighbour.traffic)?;
        Some(Neighbour { count: neighbour.count.value as u16, protocol, traffic })
    }

    pub(super) fn protocol(&mut self, contender: &Contender, pace: &Pace) -> Protocol {
        match contender {
            Contender::Tcp(tcp) => Protocol::Tcp(self.tcp(tcp)),
            Contender::Udp(udp) => self.udp(udp, pace),
        }
    }

    fn tcp(&self, tcp: &Tcp) -> tcp::Config {
        tcp::Config {
            congestion: match tcp.congestion {
                Congestion::Reno => tcp::Congestion::Reno,
                Congestion::Cubic => tcp::Congestion::Cubic,
                Congestion::Bbr => tcp::Congestion::Bbr,
            },
            mtu: self.file.path.mtu.value as u16,
            stale: stale(tcp.stale),
            not_sent_low: tcp.notsent_lowat.value,
            ..tcp::Config::default()
        }
    }

    fn udp(&mut self, udp: &Udp, pace: &Pace) -> Protocol {
        let config = |share: Option<Bitrate>| transport::Config {
            // The scenario counts the headers of IP and UDP, the transport does not.
            datagram: udp.datagram.value.saturating_sub(IP_UDP_HEADER) as u16,
            retransmit: match udp.retransmit {
                written::Retransmit::Never => transport::Retransmit::Never,
                written::Retransmit::Deadline => transport::Retransmit::Deadline,
                written::Retransmit::Always => transport::Retransmit::Always,
            },
            answer: match udp.answer {
                written::Answer::Source => transport::Answer::Source,
                written::Answer::Repair => transport::Answer::Repair,
            },
            stale: stale(udp.stale),
            rate: match (udp.rate, udp.pace.as_ref().map(|pace| pace.value).or(share)) {
                (RateControl::None, _) | (RateControl::Fixed, None) => Rate::None,
                (RateControl::Fixed, Some(rate)) => Rate::Fixed(rate),
                (RateControl::Delay, _) => Rate::Delay(Limits::default()),
            },
            tolerance: transport::Tolerance {
                packets: udp.reordering.value,
                ..transport::Config::default().tolerance
            },
            ..transport::Config::default()
        };
        Protocol::Udp { down: config(pace.down), up: config(pace.up), scheme: self.scheme(&udp.fec) }
    }

    /// The code; its own constructors know its limits.
    fn scheme(&mut self, fec: &Fec) -> Scheme {
        let (scheme, span) = match fec {
            Fec::None => return Scheme::None,
            Fec::Repeat(repeat) => (
                Repeat::new(repeat.copies.value, repeat.spacing.value).map(Scheme::Repeat),
                repeat.copies.span(),
            ),
            Fec::Xor(xor) => {
                let flush = Some(Duration::from_millis(8));
                let code = match xor.interleave.value {
                    1 => Xor::row(xor.source.value, flush),
                    columns => Xor::interleaved(columns, xor.source.value, flush),
                };
                (code.map(Scheme::Xor), xor.source.span())
            }
            Fec::Adaptive(code) => (Adaptive::new(code.worth.value).map(Scheme::Adaptive), code.worth.span()),
            Fec::Xor2d(xor) => {
                let layout = match xor.layout {
                    MatrixLayout::Even => Layout::Even,
                    MatrixLayout::Staircase => Layout::Staircase,
                };
                let code = Xor2d::new(xor.columns.value, xor.rows.value, layout, xor.pause.value.after());
                (code.map(Scheme::Xor2d), xor.columns.span())
            }
            Fec::ReedSolomon(code) => match (&code.source, &code.repair, &code.per_frame) {
                (Some(source), Some(repair), _) => {
                    let block = per_packets(code, source.value, repair.value);
                    (block.map(Scheme::ReedSolomon), source.span())
                }
                (_, _, Some(frame)) => {
                    (per_frame(frame).map(Scheme::ReedSolomonPerFrame), frame.percent.span())
                }
                _ => return Scheme::None,
            },
        };
        scheme.unwrap_or_else(|invalid| {
            self.problems.push(Problem::at(span, "no such code").label(invalid.to_string()));
            Scheme::None
        })
    }
}

fn per_packets(code: &ReedSolomon, source: u32, repair: u32) -> Result<PerPackets, InvalidScheme> {
    let partial = match code.partial {
        None | Some(written::Partial::Proportional) => Partial::Proportional,
        Some(written::Partial::None) => Partial::Unprotected,
    };
    let interleave = code.interleave.as_ref().map_or(1, |blocks| blocks.value);
    let block = PerPackets::new(source, repair, code.flush_after().after())?;
    Ok(block.interleaved(interleave)?.with_partial(partial))
}

fn per_frame(frame: &written::PerFrame) -> Result<PerFrame, InvalidScheme> {
    let code = PerFrame::new(frame.percent.value, frame.minimum.value)?;
    frame.blocks.as_ref().map_or(Ok(code), |most| code.at_most(most.value))
}

const fn stale(stale: Stale) -> endpoint::Stale {
    match stale {
        Stale::Drop => endpoint::Stale::Drop,
        Stale::Keep => endpoint::Stale::Keep,
    }
}
