//! `preset = "NAME"`: the settings of products and protocols, as far as they are published.
//!
//! A preset imitates the error correction and what goes with it, over the transport of this crate: packet
//! formats, encoders and rate controls are not those of the product. Keys that are written beside it win.
//!
//! | preset | `fec` | `retransmit` | `stale` | `rate` | source |
//! | --- | --- | --- | --- | --- | --- |
//! | `webrtc` | `webrtc` | deadline | drop | delay | libwebrtc's `media_opt_util.cc`; RFC 8854; NACK and FEC together |
//! | `sunshine` | Reed–Solomon, 20 % of a frame, at least 2, none over 4 blocks | never | keep | none | Sunshine's `stream.cpp` and `config.cpp`, moonlight-common-c |
//! | `kcp` | Reed–Solomon 10+3, none for partial blocks | always | keep | none | kcp-go's `fec.go`, kcptun's defaults (no congestion control) |
//! | `udpspeeder` | Reed–Solomon 20+10, closed after 8 ms | never | keep | none | UDPspeeder's defaults: a tunnel that knows neither frames nor rates |
//! | `srt` | parity over rows and columns of 10 × 5 packets, in stairs | deadline | drop | none | SRT's packet filter `fec,cols:10,rows:5,layout:staircase,arq:onreq`, TLPKTDROP |
//! | `rdp-udp` | parity over 10 packets | never | drop | delay | MS-RDPEUDP, best-effort mode (RDP-UDP-L): one FEC packet over m source packets, which repairs one of them. How large m is, it does not say: 10 is a choice of ours |
//! | `framehawk` | `adaptive` | deadline, answered by repair packets | drop | delay | this crate: Framehawk's code was never published, what it was good at was |
//! | `edt-loss-tolerant` | `loss-tolerant` | always | drop | delay | Citrix HDX, "Loss tolerant mode for graphics": 5 %, 300 ms, 30 Mbit/s; EDT itself is reliable |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::contender::{
    Adaptive, Answer, Fec, LossTolerant, MatrixLayout, Partial, PerFrame, RateControl, ReedSolomon,
    Retransmit, Stale, Xor, Xor2d,
};
use crate::scenario::place::At;
use crate::scenario::quantity::Flush;
use crate::time::Duration;

/// The settings of a product or a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// WebRTC: protection by loss and frame size, beside retransmission.
    Webrtc,
    /// Sunshine and Moonlight: a fifth of each frame, and nothing is sent again.
    Sunshine,
    /// kcp-go and kcptun: 3 repair packets for 10, and everything is sent until it arrives.
    Kcp,
    /// UDPspeeder: 10 repair packets for 20, after at most 8 ms.
    Udpspeeder,
    /// SRT with its packet filter: parity over rows and columns, the rest is sent again.
    Srt,
    /// RDP over UDP without retransmission: a parity packet for every few.
    RdpUdp,
    /// Citrix's EDT in loss tolerant mode: protection where the link is lossy, long and fast.
    EdtLossTolerant,
    /// Framehawk as this crate would have it: as much redundancy as is worth its bytes, repair before the
    /// deadline, nothing stale, a rate that does not collapse on random loss.
    Framehawk,
}

/// What a preset decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The error correction.
    pub fec: Fec,
    /// Whether lost packets are sent again.
    pub retransmit: Retransmit,
    /// What answers a receiver that asks for lost packets.
    pub answer: Answer,
    /// What becomes of frames that are out of date before they are sent.
    pub stale: Stale,
    /// How the sending rate is controlled.
    pub rate: RateControl,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Webrtc,
        Self::Sunshine,
        Self::Kcp,
        Self::Udpspeeder,
        Self::Srt,
        Self::RdpUdp,
        Self::EdtLossTolerant,
        Self::Framehawk,
    ];

    /// What it decides.
    pub fn settings(self) -> Settings {
        let (fec, retransmit, stale, rate) = match self {
            Self::Webrtc => (Fec::WebRtc, Retransmit::Deadline, Stale::Drop, RateControl::Delay),
            Self::Sunshine => (sunshine(), Retransmit::Never, Stale::Keep, RateControl::None),
            Self::Kcp => (kcp(), Retransmit::Always, Stale::Keep, RateControl::None),
            Self::Udpspeeder => (udpspeeder(), Retransmit::Never, Stale::Keep, RateControl::None),
            Self::Srt => (srt(), Retransmit::Deadline, Stale::Drop, RateControl::None),
            Self::RdpUdp => (rdp_udp(), Retransmit::Never, Stale::Drop, RateControl::Delay),
            Self::EdtLossTolerant => {
                let fec = Fec::LossTolerant(LossTolerant::default());
                (fec, Retransmit::Always, Stale::Drop, RateControl::Delay)
            }
            Self::Framehawk => {
                let fec = Fec::Adaptive(Adaptive::default());
                (fec, Retransmit::Deadline, Stale::Drop, RateControl::Delay)
            }
        };
        let answer = if self == Self::Framehawk { Answer::Repair } else { Answer::Source };
        Settings { fec, retransmit, answer, stale, rate }
    }
}

fn sunshine() -> Fec {
    let per_frame =
        PerFrame { percent: At::default_of(20), minimum: At::default_of(2), blocks: Some(At::default_of(4)) };
    Fec::ReedSolomon(ReedSolomon {
        source: None,
        repair: None,
        flush: None,
        interleave: None,
        partial: None,
        per_frame: Some(per_frame),
    })
}

/// kcp-go sends no parity for a block that does not fill within the retransmission timeout; KCP's least
/// one outside of its fast mode, 100 ms, stands for it.
fn kcp() -> Fec {
    blocks(10, 3, Duration::from_millis(100), Partial::None)
}

fn udpspeeder() -> Fec {
    blocks(20, 10, Duration::from_millis(8), Partial::Proportional)
}

fn blocks(source: u32, repair: u32, flush: Duration, partial: Partial) -> Fec {
    Fec::ReedSolomon(ReedSolomon {
        source: Some(At::default_of(source)),
        repair: Some(At::default_of(repair)),
        flush: Some(At::default_of(Flush::After(flush))),
        interleave: None,
        partial: Some(partial),
        per_frame: None,
    })
}

fn srt() -> Fec {
    Fec::Xor2d(Xor2d {
        columns: At::default_of(10),
        rows: At::default_of(5),
        layout: MatrixLayout::Staircase,
        pause: At::default_of(Flush::Off),
    })
}

fn rdp_udp() -> Fec {
    Fec::Xor(Xor { source: At::default_of(10), interleave: At::default_of(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fec::Scheme;
    use crate::scenario::file::contender::{Contender, Udp};
    use crate::scenario::lower::{Protocol, Scenario};
    use crate::scenario::parse::parse;
    use crate::scenario::source::Sources;

    const PATH: &str = r#"
        duration = "10s"
        [traffic.down.screen]
        constant = { rate = "30Hz", size = "5kB" }
        [path.down]
        [path.up]
        [contender.a]
    "#;

    /// The contender of the scenario with this line, after these overrides.
    fn udp(line: &str, sets: &[&str]) -> Udp {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let draft = parse(Sources::built_in("a.toml", &format!("{PATH}{line}")), &sets).unwrap();
        match draft.file.contender.get("a").unwrap() {
            Contender::Udp(udp) => udp.clone(),
            Contender::Tcp(_) | Contender::Quic(_) => panic!("it is UDP"),
        }
    }

    fn name(preset: Preset) -> String {
        serde_json::to_value(preset).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn every_preset_decides_what_is_not_written() {
        for preset in Preset::ALL {
            let udp = udp(&format!("udp.preset = \"{}\"", name(preset)), &[]);
            let settings = Settings {
                fec: udp.fec.clone(),
                retransmit: udp.retransmit,
                answer: udp.answer,
                stale: udp.stale,
                rate: udp.rate,
            };
            assert_eq!(settings, preset.settings());
            assert_eq!((udp.datagram.value, udp.preset), (1200, Some(preset)));
        }
    }

    #[test]
    fn what_is_written_beside_a_preset_wins() {
        let line = "udp = { preset = \"webrtc\", fec.xor.source = 5, rate = \"none\" }";
        let udp = udp(line, &["contender.a.udp.stale=keep"]);
        assert!(matches!(udp.fec, Fec::Xor(_)));
        assert_eq!((udp.retransmit, udp.stale), (Retransmit::Deadline, Stale::Keep));
        assert_eq!(udp.rate, RateControl::None);
    }

    #[test]
    fn a_preset_can_be_set_from_outside() {
        let udp = udp("udp = { retransmit = \"always\" }", &["contender.a.udp.preset=udpspeeder"]);
        assert_eq!((udp.fec, udp.retransmit), (udpspeeder(), Retransmit::Always));
    }

    #[test]
    fn the_effective_settings_read_back_as_themselves() {
        for preset in Preset::ALL {
            let draft = parse(
                Sources::built_in("a.toml", &format!("{PATH}udp.preset = \"{}\"", name(preset))),
                &["contender.a.udp.datagram=900".to_owned()],
            );
            let file = draft.unwrap().file;
            let effective = toml::to_string_pretty(&file).unwrap();
            assert!(effective.contains("retransmit = "), "{effective}");
            assert_eq!(parse(Sources::built_in("b.toml", &effective), &[]).unwrap().file, file);
        }
    }

    #[test]
    fn a_preset_that_there_is_not_names_the_nearest() {
        let sources = Sources::built_in("a.toml", &format!("{PATH}udp.preset = \"webrct\""));
        let problems = parse(sources, &[]).unwrap_err();
        let problem = &problems.list()[0];
        assert_eq!(problem.title, "unknown choice `webrct`");
        assert!(problem.label.contains("`webrtc`"), "{}", problem.label);
    }

    #[test]
    fn every_preset_is_a_code_that_runs() {
        for preset in Preset::ALL {
            let sources = Sources::built_in("a.toml", &format!("{PATH}udp.preset = \"{}\"", name(preset)));
            let scenario = Scenario::new(&parse(sources, &[]).unwrap()).unwrap();
            let Protocol::Udp { scheme, .. } = &scenario.contenders[0].protocol else { panic!("it is UDP") };
            assert_ne!(*scheme, Scheme::None, "{preset:?}");
        }
    }
}
