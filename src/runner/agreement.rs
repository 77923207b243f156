//! Whether real time agrees with virtual time: the same contender, scenario and seed in both.
//!
//! What must agree, and why it can:
//!
//! | what | bound | because |
//! | --- | --- | --- |
//! | losses drawn by packet: lost or not, packet by packet | identical | both draw from the seed and the packet's index |
//! | the fate of every packet of an open-loop contender, where no queue dropped any | identical | nothing that it sends depends on time |
//! | frame delay at p50, p95 and p99, over UDP | 2 ms, and the machine's lateness at p99 | the same ends over the same link; two clocks |
//! | goodput over TCP | 15 % | the model of TCP against the kernel's |
//!
//! An open-loop contender sends the same packets whatever becomes of them: no feedback changes its rate,
//! its code or its traffic.

use std::collections::BTreeMap;

use super::trial;
use crate::drive::timing::Timing;
use crate::endpoint::{Class, Direction, Flow};
use crate::impair::config::{LinkConfig, LossFrom, LossModel};
use crate::measure::{Metrics, Value};
use crate::record::{DropReason, Event, PacketInfo, Record, Sink};
use crate::scenario::{Contender, Protocol, Scenario};
use crate::time::Duration;
use crate::traffic::{DependencyKind, EncoderKind};

/// Frame delays may differ by this and the machine's lateness.
pub const DELAY_TOLERANCE: Duration = Duration::from_millis(2);
/// The model's goodput may differ from the kernel's by this part of it.
pub const GOODPUT_TOLERANCE: f64 = 0.15;

/// One figure or one rule, in virtual time and in real time.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub what: &'static str,
    /// In virtual time.
    pub modelled: Value,
    /// In real time.
    pub real: Value,
    /// By how much they may differ; none where they are only shown.
    pub allowed: Option<f64>,
    /// Whether they agree; none where there is no bound, or nothing to compare.
    pub agrees: Option<bool>,
}

/// What became of each packet of a run, by flow and direction, in the order of entering the link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketFates {
    directions: BTreeMap<(Flow, Direction), Vec<PacketFate>>,
}

/// A packet and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PacketFate {
    class: Class,
    /// None: delivered, or under way at the end.
    dropped: Option<DropReason>,
}

impl Sink for PacketFates {
    fn record(&mut self, record: &Record) {
        let place = (record.flow, record.direction);
        match record.event {
            Event::PacketSent(PacketInfo { class, .. }) => {
                self.directions.entry(place).or_default().push(PacketFate { class, dropped: None });
            }
            Event::PacketDropped(info, reason) => {
                let fates = self.directions.get_mut(&place);
                if let Some(fate) = fates.and_then(|fates| fates.get_mut(info.index as usize)) {
                    fate.dropped = Some(reason);
                }
            }
            _ => {}
        }
    }
}

/// Plays `contender` in virtual time and compares that with what came of it in real time.
///
/// # Errors
/// The imbalance of the virtual run's books, as text.
pub fn compare(
    scenario: &Scenario,
    contender: &Contender,
    seed: u64,
    (real, real_fates, timing): (&Metrics, &PacketFates, &Timing),
) -> Result<Vec<Comparison>, super::RunError> {
    let mut fates = PacketFates::default();
    let mut books = trial::Books::new(scenario, seed);
    let under_way = trial::simulate(scenario, contender, seed, &mut (&mut books, &mut fates));
    let modelled = books.close(under_way).map_err(|imbalance| super::RunError::Ledger {
        contender: contender.name.clone(),
        seed,
        imbalance,
    })?;
    let mut comparisons = Vec::new();
    comparisons.extend(draws(scenario, &fates, real_fates));
    if is_open_loop(scenario, contender) && !fates.queue_dropped() && !real_fates.queue_dropped() {
        comparisons.push(same_fates(&fates, real_fates));
    }
    let figure = |what, allowed: Option<f64>| {
        let (modelled, real) = (value(&modelled, what), value(real, what));
        let agrees = allowed.map(|allowed| match (modelled, real) {
            (Value::Number(modelled), Value::Number(real)) => (modelled - real).abs() <= allowed,
            (Value::Absent(modelled), Value::Absent(real)) => modelled == real,
            _ => false,
        });
        Comparison { what, modelled, real, allowed, agrees }
    };
    let udp = matches!(contender.protocol, Protocol::Udp { .. });
    let delay = (DELAY_TOLERANCE + timing.late_p99).as_millis_f64();
    for key in ["frame_delay_p50_ms", "frame_delay_p95_ms", "frame_delay_p99_ms"] {
        comparisons.push(figure(key, udp.then_some(delay)));
    }
    let goodput = value(&modelled, "goodput_bps").number().unwrap_or_default();
    comparisons.push(figure("goodput_bps", (!udp).then_some(GOODPUT_TOLERANCE * goodput)));
    for key in ["age_p99_ms", "frames_on_time_pct", "network_loss_pct", "repair_overhead_pct"] {
        comparisons.push(figure(key, None));
    }
    Ok(comparisons)
}

fn value(metrics: &Metrics, key: &str) -> Value {
    metrics.get(key).unwrap_or(Value::Absent("not measured"))
}

/// Whether what it sends down is the same whatever becomes of it. Traffic up makes feedback travel down,
/// among the packets of the picture, in an order that microseconds decide.
fn is_open_loop(scenario: &Scenario, contender: &Contender) -> bool {
    let steady_traffic = scenario.traffic.down.as_ref().is_none_or(|traffic| {
        traffic.dependency == DependencyKind::Independent && traffic.encoder == EncoderKind::Fixed
    });
    steady_traffic && scenario.traffic.up.is_none() && contender.protocol.is_open_loop()
}

/// Packets of losses drawn by packet that were lost in one run and not in the other, among those that
/// both sent and that no queue and no outage dropped before; none where losses are not drawn by packet.
fn draws(scenario: &Scenario, modelled: &PacketFates, real: &PacketFates) -> Option<Comparison> {
    let by_packet = |link: &LinkConfig| {
        let loss = link.loss.as_ref()?;
        let by_packet = !matches!(loss.model, LossModel::Channel { .. }) && link.link_arq.is_none();
        by_packet.then_some(loss.from)
    };
    let mut lost = [0, 0];
    let mut differ = 0;
    let mut any = false;
    for (place, model) in &modelled.directions {
        let Some(from) = by_packet(scenario.path.link(place.1)) else { continue };
        any = true;
        let counted = |fates: &[PacketFate]| -> Vec<PacketFate> {
            let established = |fate: &&PacketFate| from == LossFrom::Start || fate.class != Class::Handshake;
            fates.iter().filter(established).copied().collect()
        };
        let model = counted(model);
        let real = counted(real.directions.get(place).map_or(&[], |fates| fates));
        for (model, real) in model.iter().zip(&real) {
            let drawn = |fate: &PacketFate| matches!(fate.dropped, None | Some(DropReason::Loss));
            if drawn(model) && drawn(real) {
                lost[0] += u64::from(model.dropped.is_some());
                lost[1] += u64::from(real.dropped.is_some());
                differ += u64::from(model.dropped != real.dropped);
            }
        }
    }
    any.then(|| Comparison {
        what: "packets lost by draw",
        modelled: Value::Number(f64::from(lost[0] as u32)),
        real: Value::Number(f64::from(lost[1] as u32)),
        allowed: Some(0.0),
        agrees: Some(differ == 0),
    })
}

/// Whether both runs sent the same packets down, with the same fates.
fn same_fates(modelled: &PacketFates, real: &PacketFates) -> Comparison {
    let down = |fates: &PacketFates| -> BTreeMap<Flow, Vec<PacketFate>> {
        let all = fates.directions.iter().filter(|((_, direction), _)| *direction == Direction::Down);
        all.map(|((flow, _), fates)| (*flow, fates.clone())).collect()
    };
    let (modelled, real) = (down(modelled), down(real));
    let count = |fates: &BTreeMap<Flow, Vec<PacketFate>>| fates.values().map(Vec::len).sum::<usize>();
    Comparison {
        what: "packets down, each with its fate",
        modelled: Value::Number(count(&modelled) as f64),
        real: Value::Number(count(&real) as f64),
        allowed: Some(0.0),
        agrees: Some(modelled == real),
    }
}

impl PacketFates {
    fn queue_dropped(&self) -> bool {
        let queue = |fate: &PacketFate| {
            matches!(fate.dropped, Some(DropReason::QueueFull | DropReason::QueueManaged))
        };
        self.directions.values().flatten().any(queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::source::Sources;
    use crate::scenario::{Draft, parse};

    const SCENARIO: &str = r#"
format = 1
about = "test"
duration = "3s"
seeds = 1
[traffic.down.screen]
constant = { rate = "60Hz", size = "5kB", dependency = "independent" }
deadline = "100ms"
[measure]
warm-up = "500ms"
[path.down]
delay = "10ms"
loss.iid = { rate = "5%" }
[path.up]
delay = "10ms"
[contender.udp]
udp = { fec.reed-solomon = { source = 8, repair = 2 }, stale = "keep" }
[contender.tcp]
tcp = { congestion = "cubic" }
"#;

    fn scenario() -> Scenario {
        let draft: Draft = parse(Sources::built_in("test.toml", SCENARIO), &[]).unwrap();
        Scenario::new(&draft).unwrap()
    }

    fn played(scenario: &Scenario, contender: &Contender, seed: u64) -> (Metrics, PacketFates) {
        let (mut fates, mut books) = (PacketFates::default(), trial::Books::new(scenario, seed));
        let under_way = trial::simulate(scenario, contender, seed, &mut (&mut books, &mut fates));
        (books.close(under_way).unwrap(), fates)
    }

    fn compared(real_seed: u64) -> Vec<Vec<Comparison>> {
        let scenario = scenario();
        let compare_one = |contender: &Contender| {
            let (metrics, fates) = played(&scenario, contender, real_seed);
            compare(&scenario, contender, 1, (&metrics, &fates, &Timing::default())).unwrap()
        };
        scenario.contenders.iter().map(compare_one).collect()
    }

    #[test]
    fn a_run_agrees_with_itself_in_everything() {
        for comparisons in compared(1) {
            assert!(comparisons.iter().all(|one| one.agrees != Some(false)), "{comparisons:#?}");
            assert!(comparisons.iter().filter(|one| one.agrees == Some(true)).count() >= 2);
        }
    }

    #[test]
    fn other_luck_is_found_packet_by_packet() {
        for comparisons in compared(2) {
            let draws = comparisons.iter().find(|one| one.what == "packets lost by draw").unwrap();
            assert_eq!(draws.agrees, Some(false), "{draws:?}");
        }
    }

    #[test]
    fn only_what_sends_the_same_whatever_happens_is_held_to_the_same_fates() {
        let rule = |comparisons: &[Comparison]| {
            comparisons.iter().any(|one| one.what == "packets down, each with its fate")
        };
        let [udp, tcp] = &compared(1)[..] else { panic!("two contenders") };
        assert!(rule(udp) && !rule(tcp));
    }
}
