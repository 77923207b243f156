//! What a strategy should leave by formula, to stand beside what was measured.
//!
//! The formulas ([`theory::residual`]) know the code and the channel, and neither pauses nor queues:
//!
//! | by formula | in a session |
//! | --- | --- |
//! | blocks of a number of packets are full | the pauses of a desktop close many of them short |
//! | frames are as recorded | a lost part of the screen is sent again in a later frame |
//! | a copy is so many packets behind | sooner where the sender pauses |
//!
//! So they agree to the digit on constant traffic, and nearly on a desktop. There is none for what has
//! no closed form, for retransmission, and for losses that step by time and not by packet.

use super::rank;
use crate::fec::Scheme;
use crate::fec::theory::{self, Channel};
use crate::impair::config::{LinkConfig, LossFrom, LossModel};
use crate::rng::Seed;
use crate::scenario::{Contender, Protocol, Scenario};
use crate::traffic::WorkloadKind;
use crate::transport::{self, Retransmit};
use crate::units::Probability;

/// The share of source packets going down that are lost for good; none where there is no formula.
pub fn residual(scenario: &Scenario, contender: &Contender) -> Option<f64> {
    let Alone { scheme, channel, frames } = Alone::of(scenario, contender)?;
    theory::residual(scheme, &channel, frames.as_deref())
}

/// The same share by trying it on `packets` source packets without contents, for losses too rare to be
/// seen in sessions; frames follow each other as recorded and without a pause. None for codes that go by
/// reports, of which there are none here, for RaptorQ, which has to compute with contents, and for
/// codes from outside without a twin.
pub fn swept(scenario: &Scenario, contender: &Contender, packets: u32) -> Option<rank::Residual> {
    let Alone { scheme, channel, frames } = Alone::of(scenario, contender)?;
    if let Scheme::Adaptive(_)
    | Scheme::WebRtc
    | Scheme::LossTolerant(_)
    | Scheme::Unequal(_)
    | Scheme::RaptorQ(_) = scheme
    {
        return None;
    }
    let frames = frames.unwrap_or_default();
    let plan = rank::Plan { packets, deadline_slots: DEADLINE_SLOTS, frames: &frames };
    rank::sweep(scheme, &channel, &plan, Seed(1))
}

/// How much later a packet may be recovered in a sweep: four large frames with as many repair packets,
/// which is longer than usual blocks and windows are.
const DEADLINE_SLOTS: u16 = 512;

/// A code on a channel that steps by packet, with nothing else that repairs.
struct Alone<'a> {
    scheme: &'a Scheme,
    channel: Channel,
    frames: Option<Vec<u16>>,
}

impl<'a> Alone<'a> {
    fn of(scenario: &Scenario, contender: &'a Contender) -> Option<Self> {
        let Protocol::Udp { down, scheme, .. } = &contender.protocol else { return None };
        if down.retransmit != Retransmit::Never {
            return None;
        }
        let channel = channel(&scenario.path.down)?;
        let payload = transport::payload_max(down.datagram, &*scheme.encoder());
        Some(Self { scheme, channel, frames: frames(scenario, payload as u32) })
    }
}

/// The channel of a link on which nothing else loses packets, where it steps by packet.
fn channel(link: &LinkConfig) -> Option<Channel> {
    let alone = link.link_arq.is_none()
        && link.outage.is_none()
        && link.corrupt == Probability::ZERO
        && link.duplicate == Probability::ZERO;
    let model = match &link.loss {
        None => return alone.then(|| Channel::independent(Probability::ZERO)),
        Some(loss) if loss.from == LossFrom::Start => &loss.model,
        Some(_) => return None,
    };
    let channel = match model {
        LossModel::Iid(loss) => Channel::independent(*loss),
        LossModel::GilbertElliott(chain) => Channel::gilbert_elliott(chain.p, chain.r, chain.good, chain.bad),
        LossModel::Channel { .. } | LossModel::Trace(_) => return None,
    };
    alone.then_some(channel)
}

/// The numbers of packets of frames going down, of so many bytes each; none where they are not known
/// beforehand.
fn frames(scenario: &Scenario, payload: u32) -> Option<Vec<u16>> {
    let packets = |bytes: u32| u16::try_from(bytes.div_ceil(payload)).ok();
    match &scenario.traffic.down.as_ref()?.kind {
        WorkloadKind::Trace(trace) => trace.frames().iter().map(|frame| packets(frame.bytes)).collect(),
        WorkloadKind::Constant { size, .. } => packets(*size).map(|one| vec![one]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::catalogue;
    use crate::scenario::source::Sources;
    use crate::scenario::{self, Lineup, built_in};

    /// The bench with a strategy as its contender and these overrides.
    fn bench(strategy: &str, sets: &[&str]) -> Scenario {
        let base = built_in::find(built_in::SCENARIOS, "bench").unwrap();
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let chosen = [strategy.to_owned()];
        let lineup = Lineup { name: catalogue::NAME, text: catalogue::TEXT, chosen: &chosen };
        let draft = scenario::parse_lineup(Sources::built_in(base.name, base.text), &sets, &lineup).unwrap();
        Scenario::new(&draft).unwrap()
    }

    /// The residual loss of a strategy on the bench with these overrides.
    fn expected(strategy: &str, sets: &[&str]) -> Option<f64> {
        let scenario = bench(strategy, sets);
        residual(&scenario, &scenario.contenders[0])
    }

    #[test]
    fn a_sweep_meets_the_formula_and_goes_where_there_is_none() {
        let sweep = |strategy, sets: &[&str]| {
            let scenario = bench(strategy, sets);
            swept(&scenario, &scenario.contenders[0], 200_000)
        };
        let iid = ["path.down.loss.iid.rate=5%"];
        let (formula, tried) = (expected("rs-10-3", &iid).unwrap(), sweep("rs-10-3", &iid).unwrap());
        // Five standard errors, once and for all, since the seed is fixed.
        assert!((tried.share() - formula).abs() < 5.0 * tried.error, "{tried:?}, not {formula}");
        let window = sweep("rlc-20-5", &iid).unwrap();
        assert!(expected("rlc-20-5", &iid).is_none() && window.interval[0] <= window.share());
        assert!(
            ["adaptive", "retransmit", "raptorq-frame-20"].iter().all(|name| sweep(name, &iid).is_none())
        );
    }

    #[test]
    fn without_repair_it_is_the_loss_of_the_link() {
        let loss = expected("none", &[]).unwrap();
        assert!((loss - 0.02).abs() < 1e-12, "{loss}");
    }

    #[test]
    fn with_blocks_it_is_the_binomial_law() {
        // One of five packets may be lost: 0.05 × (1 − 0.95⁴).
        let loss = expected("rs-4-1", &["path.down.loss.iid.rate=5%"]).unwrap();
        assert!((loss - 0.05 * (1.0 - 0.95_f64.powi(4))).abs() < 1e-12, "{loss}");
    }

    #[test]
    fn frames_are_cut_as_the_transport_cuts_them() {
        // Of 1,200 bytes IP and UDP take 28, and the headers of a parity packet 51, so that 1,122 bytes are
        // two packets: a block of three with its parity packet instead of one of two.
        let residual = |bytes: u32| {
            let frames = format!("traffic.down.screen={{constant={{rate=\"30Hz\",size=\"{bytes}B\"}}}}");
            expected("rs-frame-20", &["path.down.loss.iid.rate=5%", &frames]).unwrap()
        };
        let one_of = |n: i32| 0.05 * (1.0 - 0.95_f64.powi(n - 1));
        let (one, two) = (residual(1_121), residual(1_122));
        assert!((one - one_of(2)).abs() < 1e-12 && (two - one_of(3)).abs() < 1e-12, "{one} {two}");
    }

    #[test]
    fn what_has_no_formula_has_none() {
        assert_eq!(expected("retransmit", &[]), None);
        assert_eq!(expected("adaptive", &[]), None);
        assert_eq!(expected("none", &["path.down.link-arq={tries=3,interval=\"2ms\"}"]), None);
        assert_eq!(expected("none", &["path.down.loss.iid={rate=\"1%\",from=\"established\"}"]), None);
    }
}
