//! Transports and the codes on them.

use super::{Lower, Neighbour, Protocol};
use crate::scenario::file::ScenarioFile;
use crate::scenario::file::contender::{
    self as written, Congestion, Contender, RateControl, Stale, Tcp, Udp,
};
use crate::scenario::file::path::Link;
use crate::scenario::file::quic::{Frames, Quic, QuicCongestion, QuicStale};
use crate::transport::packet::IP_UDP_HEADER;
use crate::transport::rate::{Limits, Rate};
use crate::units::Bitrate;
use crate::{endpoint, quic, tcp, transport};

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
    pub(super) fn neighbour(
        &mut self,
        name: &str,
        neighbour: &written::Neighbour,
        pace: &Pace,
    ) -> Option<Neighbour> {
        let protocol = match (&neighbour.tcp, &neighbour.udp) {
            (Some(tcp), _) => Protocol::Tcp(self.tcp(tcp)),
            (None, Some(udp)) => self.udp(udp, pace),
            (None, None) => Protocol::Quic(self.quic(neighbour.quic.as_ref()?)),
        };
        let traffic = self.workload(&neighbour.traffic)?;
        Some(Neighbour { name: name.to_owned(), count: neighbour.count.value as u16, protocol, traffic })
    }

    pub(super) fn protocol(&mut self, contender: &Contender, pace: &Pace) -> Protocol {
        match contender {
            Contender::Tcp(tcp) => Protocol::Tcp(self.tcp(tcp)),
            Contender::Udp(udp) => self.udp(udp, pace),
            Contender::Quic(quic) => Protocol::Quic(self.quic(quic)),
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
            ecn: tcp.ecn,
            ..tcp::Config::default()
        }
    }

    fn quic(&self, quic: &Quic) -> quic::Config {
        quic::Config {
            congestion: match quic.congestion {
                QuicCongestion::NewReno => quic::Congestion::NewReno,
                QuicCongestion::Cubic => quic::Congestion::Cubic,
                QuicCongestion::Bbr => quic::Congestion::Bbr,
            },
            mapping: match quic.frames {
                Frames::Streams => quic::Mapping::Streams,
                Frames::Datagrams => quic::Mapping::Datagrams,
            },
            stale: match quic.stale.value {
                QuicStale::Keep => endpoint::Stale::Keep,
                QuicStale::Drop | QuicStale::Reset => endpoint::Stale::Drop,
            },
            resets: quic.stale.value == QuicStale::Reset,
            mtu: (self.file.path.mtu.value as u16).min(quic::Config::MTU_MAX),
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
            ecn: udp.ecn.value,
            ..transport::Config::default()
        };
        Protocol::Udp { down: config(pace.down), up: config(pace.up), scheme: self.scheme(&udp.fec) }
    }
}

const fn stale(stale: Stale) -> endpoint::Stale {
    match stale {
        Stale::Drop => endpoint::Stale::Drop,
        Stale::Keep => endpoint::Stale::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::source::Sources;
    use crate::scenario::{Scenario, parse};

    const SCENARIO: &str = r#"
        duration = "10s"
        [traffic.down.screen]
        constant = { rate = "30Hz", size = "5kB" }
        [path.down]
        [path.up]
        [contender.udp]
        udp = {}
    "#;

    /// What the code is called that `fec` stands for.
    fn code(fec: &str) -> String {
        let sets = [format!("contender.udp.udp.fec.{fec}")];
        let draft = parse(Sources::built_in("a.toml", SCENARIO), &sets).expect("nothing is wrong");
        let scenario = Scenario::new(&draft).expect("no other file is named");
        match &scenario.contenders[0].protocol {
            Protocol::Udp { scheme, .. } => scheme.to_string(),
            Protocol::Tcp(_) | Protocol::Quic(_) => panic!("this is UDP"),
        }
    }

    #[test]
    fn codes_over_windows_have_the_parameters_that_are_written() {
        for (fec, expected) in [
            ("rlc={ window = 16, step = 4 }", "rlc 16, 1 per 4"),
            ("rlc={ window = 64, code-rate = 0.7, density = 7 }", "rlc 64, 3 per 7, density 7"),
            ("rlc={ window = 8, code-rate = 0.1 }", "rlc 8, 9 per 1"),
            ("streaming={ percent = 50 }", "streaming 50 % over 3 frames, at least 1"),
            (
                "streaming={ delay = 1, percent = 20, minimum = 0 }",
                "streaming 20 % over 1 frames, at least 0",
            ),
        ] {
            assert_eq!(code(fec), expected);
        }
    }
}
