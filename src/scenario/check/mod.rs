//! What no single type can say: ranges, names that must exist, keys that need each other.

use std::ops::RangeInclusive;

use super::expect::Rule;
use super::file::ScenarioFile;
use super::file::channel::Channel;
use super::file::contender::{Contender, RateControl, Tcp, Udp};
use super::file::quic::{Frames, Quic, QuicStale};
use super::file::traffic::Traffic;
use super::place::{At, Named};
use super::problem::Problem;
use super::quantity::Written;
use super::source::Sources;
use crate::frame::Frame;
use crate::measure::METRICS;
use crate::quic::Config as QuicConfig;
use crate::time::Duration;
use crate::traffic::FrameTrace;
use crate::units::{Bitrate, ByteSize};

mod code;
mod path;
mod queue;

/// Everything that is wrong with a scenario of the right shape.
pub(super) fn check(file: &ScenarioFile, sources: &Sources) -> Vec<Problem> {
    let mut checker = Checker { sources, file, problems: Vec::new() };
    checker.sizes();
    if !checker.problems.is_empty() {
        return checker.problems;
    }
    checker.top();
    for (_, channel) in file.channel.iter() {
        checker.channel(channel);
    }
    checker.direction("down", &file.traffic.down);
    checker.direction("up", &file.traffic.up);
    checker.link(&file.path.down);
    checker.link(&file.path.up);
    checker.contenders();
    checker.expectations();
    checker.problems
}

/// The rules of a scenario that has been checked.
pub fn rules(file: &ScenarioFile) -> Vec<Rule> {
    let contenders: Vec<&str> = file.contender.names().collect();
    let rules = file.expect.rules.iter();
    rules.filter_map(|rule| Rule::parse(rule, &contenders, &metric_names()).ok()).collect()
}

struct Checker<'a> {
    sources: &'a Sources,
    file: &'a ScenarioFile,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn sizes(&mut self) {
        let file = self.file;
        let sizes = [
            ("contender", file.contender.len()),
            ("neighbour", file.neighbour.len()),
            ("channel", file.channel.len()),
            ("traffic.down", file.traffic.down.len()),
            ("traffic.up", file.traffic.up.len()),
            ("expect.rules", file.expect.rules.len()),
        ];
        for (name, size) in sizes.into_iter().filter(|&(_, size)| size > ENTRIES_MAX) {
            let title = format!("`{name}` has {size} entries, at most {ENTRIES_MAX} can be");
            self.problems.push(Problem::of_no_text(title));
        }
    }

    fn top(&mut self) {
        let file = self.file;
        if file.format.value != 1 {
            let problem = Problem::at(file.format.span(), format!("format {} is not known", *file.format));
            self.problems.push(problem.label("this version knows format 1"));
        }
        self.written(&file.duration, Duration::from_secs(1), Duration::from_secs(3600));
        self.number(&file.seeds, 1..=10_000);
        self.number(&file.session.count, 1..=1000);
        let ports = file.session.ports.len() as u32;
        if file.session.count.value > ports {
            let title = format!("{} sessions need as many ports", *file.session.count);
            let written = file.session.ports.written();
            let help = format!("make the range longer: `session.ports = \"{written}\"` has {ports}");
            let problem = Problem::at(file.session.count.span(), title);
            self.problems.push(problem.label(format!("there are {ports}")).help(help));
        }
        self.float(file.display.rate.hertz(), &file.display.rate, 1.0..=1000.0, " Hz");
        if file.measure.warm_up.value >= file.duration.value {
            let problem = Problem::at(file.measure.warm_up.span(), "the warm-up leaves nothing to measure");
            let label = format!("must be shorter than the duration, {}", *file.duration);
            self.problems.push(problem.label(label));
        }
        self.written(&file.measure.drain, Duration::ZERO, Duration::from_secs(60));
        if file.traffic.down.is_empty() && file.traffic.up.is_empty() {
            let help = "write for example `[traffic.down.screen]` with `constant = { rate = \"30Hz\", size = \"5kB\" }`";
            self.problems
                .push(Problem::of_no_text("nothing is sent: the key `traffic` is missing").help(help));
        }
        if file.contender.is_empty() {
            let help = "write for example `[contender.tcp-cubic]` with `tcp = { congestion = \"cubic\" }`";
            self.problems.push(Problem::of_no_text("there is no contender").help(help));
        }
    }

    fn channel(&mut self, channel: &Channel) {
        match channel {
            Channel::TwoState(two) => {
                self.above_zero(&two.good);
                self.above_zero(&two.bad);
            }
            Channel::Periodic(periodic) => {
                self.above_zero(&periodic.period);
                self.written(&periodic.bad, Duration::from_nanos(1), periodic.period.value);
                if let Some(phase) = &periodic.phase
                    && phase.value >= periodic.period.value
                {
                    let problem = Problem::at(phase.span(), "the phase lies outside the period");
                    self.problems.push(problem.label(format!("must be below {}", *periodic.period)));
                }
            }
            Channel::Scheduled(scheduled) => {
                self.rising(&scheduled.at, scheduled.r#for.value);
                self.above_zero(&scheduled.r#for);
            }
        }
    }

    /// A session carries one application in a direction.
    fn direction(&mut self, direction: &str, traffics: &Named<Traffic>) {
        let mut names = traffics.iter();
        if let Some((first, traffic)) = names.next() {
            self.traffic(traffic);
            for (name, _) in names {
                let title = format!("more than one traffic {direction}");
                let label = format!("`traffic.{direction}.{}` is already there", **first);
                let help =
                    "a session carries one a direction; other traffic on the path is a `[neighbour.NAME]`";
                self.problems.push(Problem::at(name.span(), title).label(label).help(help));
            }
        }
    }

    fn traffic(&mut self, traffic: &Traffic) {
        self.above_zero(&traffic.deadline);
        if let Some(trace) = &traffic.trace {
            self.exists(&trace.file);
        }
        if let Some(constant) = &traffic.constant {
            self.float(constant.rate.hertz(), &constant.rate, 0.1..=1000.0, " Hz");
            self.written(&constant.size, FRAME_MIN, FRAME_MAX);
        }
        if let Some(keystrokes) = &traffic.keystrokes {
            self.float(keystrokes.per_second.value, &keystrokes.per_second, 0.001..=100.0, "");
        }
        if let Some(desktop) = &traffic.desktop {
            let weights = [&desktop.idle, &desktop.typing, &desktop.scrolling, &desktop.video];
            for weight in weights {
                self.float(weight.value, weight, 0.0..=1000.0, "");
            }
            if weights.iter().all(|weight| weight.value == 0.0) {
                let problem = Problem::at(desktop.idle.span(), "nothing happens on this desktop");
                self.problems.push(problem.label("one of the four weights must be above 0"));
            }
        }
    }

    fn contenders(&mut self) {
        let file = self.file;
        for (name, contender) in file.contender.iter() {
            self.name(name);
            match contender {
                Contender::Tcp(tcp) => self.tcp(tcp),
                Contender::Udp(udp) => self.udp(udp),
                Contender::Quic(quic) => self.quic(quic),
            }
        }
        for (_, neighbour) in file.neighbour.iter() {
            self.number(&neighbour.count, 1..=1000);
            neighbour.tcp.iter().for_each(|tcp| self.tcp(tcp));
            neighbour.udp.iter().for_each(|udp| self.udp(udp));
            neighbour.quic.iter().for_each(|quic| self.quic(quic));
            self.traffic(&neighbour.traffic);
        }
    }

    /// A contender's name stands in rules and in tables.
    fn name(&mut self, name: &At<String>) {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fits = (1..=32).contains(&name.chars().count()) && name.chars().all(allowed);
        if !fits || name.starts_with(|c: char| !c.is_alphabetic()) {
            let problem = Problem::at(name.span(), format!("`{}` is no name for a contender", **name));
            self.problems.push(problem.label("a letter, then at most 31 letters, digits, `-`, `_` or `.`"));
        }
    }

    fn tcp(&mut self, tcp: &Tcp) {
        self.written(&tcp.notsent_lowat, ByteSize::new(1), ByteSize::new(100_000_000));
    }

    fn quic(&mut self, quic: &Quic) {
        let (mtu, least) = (&self.file.path.mtu, u32::from(QuicConfig::MTU_MIN));
        if mtu.value < least {
            let problem = Problem::at(mtu.span(), format!("an mtu of {} is too small for QUIC", **mtu));
            self.problems.push(problem.label(format!("must be at least {least} (RFC 9000, section 14)")));
        }
        if quic.frames == Frames::Datagrams && quic.stale.value == QuicStale::Reset {
            let problem = Problem::at(quic.stale.span(), "datagrams cannot be reset");
            self.problems.push(problem.label("belongs to `frames = \"streams\"`; write \"drop\" here"));
        }
    }

    fn udp(&mut self, udp: &Udp) {
        let mtu = self.file.path.mtu.value;
        self.number(&udp.datagram, 200..=9000.min(mtu.max(200)));
        self.number(&udp.reordering, 1..=1000);
        if let Some(pace) = &udp.pace {
            self.written(pace, Bitrate::from_bps(10_000), Bitrate::from_bps(100_000_000_000));
            if udp.rate != RateControl::Fixed {
                let problem = Problem::at(pace.span(), "`pace` has no effect here");
                self.problems.push(problem.label("belongs to `rate = \"fixed\"`"));
            }
        }
        if udp.ecn.value && udp.rate != RateControl::Delay {
            let problem = Problem::at(udp.ecn.span(), "nothing would answer the marks");
            self.problems.push(problem.label("belongs to `rate = \"delay\"`"));
        }
        self.fec(&udp.fec);
    }

    fn expectations(&mut self) {
        let contenders: Vec<&str> = self.file.contender.names().collect();
        for rule in &self.file.expect.rules {
            if let Err(error) = Rule::parse(rule, &contenders, &metric_names()) {
                let span = rule.span().map(|span| self.sources.within_string(&span, rule, error.range));
                let problem = Problem::at(span, error.title).label(error.label);
                self.problems.push(if error.help.is_empty() { problem } else { problem.help(error.help) });
            }
        }
        if let Some(baseline) = &self.file.expect.baseline
            && !contenders.contains(&baseline.as_str())
        {
            self.problems.push(Problem::unknown(baseline.span(), "contender", baseline, &contenders));
        }
    }

    fn exists(&mut self, file: &At<String>) {
        if let Err(reason) = self.sources.find_file(file) {
            let title = format!("cannot read `{}`", **file);
            self.problems.push(Problem::at(file.span(), title).label(reason));
        }
    }

    fn number(&mut self, number: &At<u32>, range: RangeInclusive<u32>) {
        if !range.contains(number) {
            self.out_of_range(number, number.value.to_string(), range.start(), range.end());
        }
    }

    fn float<T>(&mut self, value: f64, at: &At<T>, range: RangeInclusive<f64>, unit: &str) {
        if !range.contains(&value) {
            let (low, high) = (range.start(), format!("{}{unit}", range.end()));
            self.out_of_range(at, format!("{value}{unit}"), low, high);
        }
    }

    fn written<T: Written + PartialOrd>(&mut self, at: &At<T>, low: T, high: T) {
        if at.value < low || at.value > high {
            self.out_of_range(at, at.value.written(), low.written(), high.written());
        }
    }

    fn above_zero(&mut self, time: &At<Duration>) {
        self.written(time, Duration::from_nanos(1), Duration::from_secs(3600));
    }

    fn out_of_range<T>(
        &mut self,
        at: &At<T>,
        value: String,
        low: impl std::fmt::Display,
        high: impl std::fmt::Display,
    ) {
        let problem = Problem::at(at.span(), format!("{value} is out of range"));
        self.problems.push(problem.label(format!("must be from {low} to {high}")));
    }

    /// Two keys that mean something together only.
    fn together<A, B>(&mut self, first: (&str, &Option<At<A>>), second: (&str, &Option<At<B>>)) {
        let (there, lacking) = match (first.1, second.1) {
            (Some(there), None) => (there.span(), second.0),
            (None, Some(there)) => (there.span(), first.0),
            _ => return,
        };
        let problem = Problem::at(there, format!("the key `{lacking}` is missing"));
        self.problems.push(problem.label("needed beside this"));
    }

    /// Times that rise, each by more than `length`.
    fn rising(&mut self, times: &At<Vec<At<Duration>>>, length: Duration) {
        if times.is_empty() {
            self.problems
                .push(Problem::at(times.span(), "no time is named").label("write for example [\"5s\"]"));
        }
        for pair in times.windows(2) {
            if pair[1].value < pair[0].value + length {
                let problem = Problem::at(pair[1].span(), "the times must rise");
                let label = format!("begins before the one at {} is over", *pair[0]);
                self.problems.push(problem.label(label));
            }
        }
    }
}

/// Room for what the application writes at the front of a frame.
const FRAME_MIN: ByteSize = ByteSize::new(Frame::HEAD_MAX as u64);
/// As large as a frame of a trace may be.
const FRAME_MAX: ByteSize = ByteSize::new(FrameTrace::FRAME_MAX as u64);

/// More entries of a table than a scenario needs; bounds what the checks cost.
const ENTRIES_MAX: usize = 100;

fn metric_names() -> Vec<&'static str> {
    METRICS.iter().map(|metric| metric.key).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const RIGHT: &str = r#"
        duration = "10s"
        [traffic.down.screen]
        constant = { rate = "30Hz", size = "5kB" }
        [channel.radio]
        two-state = { good = "900ms", bad = "60ms" }
        [path.down]
        delay = "20ms"
        [path.up]
        [contender.udp]
        udp = {}
    "#;

    /// What is wrong with the right scenario after these overrides.
    fn said(sets: &[&str]) -> Vec<String> {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        match parse(Sources::built_in("a.toml", RIGHT), &sets) {
            Ok(_) => Vec::new(),
            Err(problems) => {
                problems.list().iter().map(|one| format!("{}: {}", one.title, one.label)).collect()
            }
        }
    }

    #[test]
    fn values_at_the_ends_of_their_range_are_right() {
        for sets in [
            &["duration=1s", "measure.warm-up=0ms", "measure.drain=60s"][..],
            &["seeds=10000", "session.count=101"],
            &["path.down.loss.gilbert={ p = \"1%\", r = 1 }"],
            &["path.down.loss.gilbert={ loss = \"50%\", burst = 1 }"],
            &[
                "path.down.loss.gilbert-elliott={ loss = \"5%\", burst = 10, bad-loss = 0.5, good-loss = \"0.1%\" }",
            ],
            &[
                "path.down.loss.channel={ channel = \"radio\" }",
                "path.down.outage={ channel = \"radio\", mode = \"drop\" }",
            ],
            &["path.down.jitter.uniform={ max = \"10s\", correlation = 0.999, reorder = true }"],
            &["path.down.jitter.normal={ deviation = \"1ns\" }"],
            &["path.down.bottleneck={ rate = \"1kbit/s\", channel = \"radio\", bad-factor = 0 }"],
            &["path.down.outage={ at = [\"1s\", \"3s\"], for = \"2s\", every = \"4s\" }"],
            &["contender.udp.udp.fec.reed-solomon={ source = 254, repair = 1, flush = \"off\" }"],
            &["contender.udp.udp.fec.red.depth=4"],
            &["contender.udp.udp.fec.raptorq={ source = 1024, repair = 1, flush = \"off\" }"],
            &["contender.udp.udp.fec.raptorq.per-frame={ percent = 400, minimum = 0 }"],
            &["contender.udp.udp.fec=webrtc"],
            &["contender.udp.udp.fec.loss-tolerant={ loss = 1, round-trip = \"0ms\", rate = \"0bit/s\" }"],
            &["contender.udp.udp.fec.unequal={ delta = \"none\", input.red.depth = 2 }"],
            &[
                "contender.udp.udp.fec.unequal.key.xor.source=4",
                "contender.udp.udp.fec.unequal.key.reed-solomon.per-frame.percent=50",
            ],
            &["contender.udp.udp.fec.reed-solomon.per-frame={ percent = 255, minimum = 0, blocks = 4 }"],
            &["contender.udp.udp.fec.reed-solomon.per-frame={ percent = 0, minimum = 100 }"],
            &[
                "contender.udp.udp.fec.reed-solomon={ source = 16, repair = 4, interleave = 255, partial = \"none\" }",
            ],
            &["contender.udp.udp.fec.xor-2d={ columns = 254, rows = 16, layout = \"staircase\" }"],
            &["contender.udp.udp.fec.xor-2d={ columns = 2, rows = 2, pause = \"1s\" }"],
            &["contender.udp.udp.fec.rlc={ window = 1024, step = 10000, density = 0 }"],
            &["contender.udp.udp.fec.rlc={ window = 1, code-rate = 0.1 }"],
            &["contender.udp.udp.fec.rlc={ window = 1, code-rate = 0.999 }"],
            &["contender.udp.udp.fec.streaming={ delay = 8, percent = 255, minimum = 0 }"],
            &["contender.udp.udp.fec.streaming={ delay = 0, percent = 0, minimum = 100 }"],
            &[
                "contender.udp.udp.fec=none",
                "contender.udp.udp.rate=fixed",
                "contender.udp.udp.pace=10kbit/s",
            ],
            &["neighbour.download.tcp={}", "channel.oven.periodic={ period = \"20ms\", bad = \"20ms\" }"],
        ] {
            assert_eq!(said(sets), Vec::<String>::new(), "{sets:?}");
        }
    }

    #[test]
    fn what_cannot_be_says_what_could() {
        for (sets, expected) in [
            (&["format=2"][..], "format 2 is not known: this version knows format 1"),
            (&["duration=3601s"], "3601s is out of range: must be from 1s to 3600s"),
            (
                &["traffic.down.second.bulk={}"],
                "more than one traffic down: `traffic.down.screen` is already there",
            ),
            (&["traffic.down.screen.constant.size=31B"], "31B is out of range: must be from 32B to 64MB"),
            (
                &["path.down.link-arq={ tries = 3, interval = \"2ms\" }"],
                "`link-arq` has no effect here: nothing is lost on this link",
            ),
            (
                &[
                    "path.down.link-arq={ tries = 3, interval = \"2ms\" }",
                    "path.down.loss.iid={ rate = \"1%\", at = \"before-queue\" }",
                ],
                "`link-arq` has no effect here: sends again what is lost after the queue, and this loss is before it",
            ),
            (&["seeds=0"], "0 is out of range: must be from 1 to 10000"),
            (&["session.count=102"], "102 sessions need as many ports: there are 101"),
            (
                &["measure.warm-up=10s"],
                "the warm-up leaves nothing to measure: must be shorter than the duration, 10 s",
            ),
            (
                &["path.mtu=500", "contender.udp.udp.datagram=300"],
                "500 is out of range: must be from 576 to 65535",
            ),
            (
                &["path.mtu=1227", "contender.quic.quic={}"],
                "an mtu of 1227 is too small for QUIC: must be at least 1228 (RFC 9000, section 14)",
            ),
            (
                &["contender.quic.quic={ frames = \"datagrams\", stale = \"reset\" }"],
                "datagrams cannot be reset: belongs to `frames = \"streams\"`; write \"drop\" here",
            ),
            (&["contender.udp.udp.datagram=1501"], "1501 is out of range: must be from 200 to 1500"),
            (&["path.down.loss.gilbert.p=1%"], "the key `r` is missing: needed beside this"),
            (
                &["path.down.loss.gilbert={ loss = \"90%\", burst = 2 }"],
                "bursts this short cannot make so much loss: at least 9.000 for a loss of 90 %",
            ),
            (
                &["path.down.loss.gilbert={ loss = 1, burst = 2 }"],
                "bursts this short cannot make so much loss: a loss of all packets has no bursts: use `iid`",
            ),
            (
                &["path.down.loss.gilbert-elliott={ loss = 0.6, burst = 4, bad-loss = 0.5 }"],
                "a mean loss of 60 % cannot be: must be from good-loss (0 %) to bad-loss (50 %)",
            ),
            (&["path.down.loss.channel.channel=rodio"], "unknown channel `rodio`: did you mean `radio`?"),
            (
                &["path.down.jitter.gamma={ mean = \"0ms\", deviation = \"6ms\" }"],
                "0ms is out of range: must be from 1ns to 10s",
            ),
            (
                &["path.down.bottleneck={ rate = \"1Mbit/s\", bad-factor = 0.5 }"],
                "the key `channel` is missing: needed beside this",
            ),
            (
                &["path.down.bottleneck={ rate = \"1Mbit/s\", queue.droptail = \"0 packets\" }"],
                "a queue that holds nothing drops everything: must be above 0",
            ),
            (
                &["path.down.bottleneck={ rate = \"1Mbit/s\", queue.codel.target = \"100ms\" }"],
                "the target is not below the interval: the target is 100 ms, the interval 100 ms",
            ),
            (
                &["path.down.bottleneck={ rate = \"1Mbit/s\", queue.pie.tupdate = \"0ms\" }"],
                "0ms is out of range: must be from 1ms to 10s",
            ),
            (
                &["path.down.bottleneck={ rate = \"1Mbit/s\", queue.fq-codel.flows = 0 }"],
                "0 is out of range: must be from 1 to 65536",
            ),
            (
                &["path.down.bottleneck={ rate = \"1Mbit/s\", queue.red = {} }"],
                "unknown choice `red`: not known here",
            ),
            (
                &["contender.udp.udp.ecn=true"],
                "nothing would answer the marks: belongs to `rate = \"delay\"`",
            ),
            (
                &["path.down.outage={ at = [\"1s\", \"2s\"], for = \"2s\" }"],
                "the times must rise: begins before the one at 1 s is over",
            ),
            (
                &["path.down.outage={ mode = \"drop\" }"],
                "one of `at`, `random`, `channel` is missing: exactly one is needed here",
            ),
            (&["contender.udp.udp.pace=1Mbit/s"], "`pace` has no effect here: belongs to `rate = \"fixed\"`"),
            (
                &["contender.udp.udp.fec.reed-solomon.source=5"],
                "the key `repair` is missing: needed beside this",
            ),
            (&["contender.udp.udp.fec.red.depth=5"], "5 is out of range: must be from 1 to 4"),
            (&["contender.udp.udp.fec.raptorq.repair=5"], "the key `source` is missing: needed beside this"),
            (
                &["contender.udp.udp.fec.raptorq={ source = 1025, repair = 5 }"],
                "1025 is out of range: must be from 1 to 1024",
            ),
            (
                &["contender.udp.udp.fec.raptorq.per-frame.percent=401"],
                "401 is out of range: must be from 1 to 400",
            ),
            (
                &["contender.udp.udp.fec.loss-tolerant.round-trip=11s"],
                "11s is out of range: must be from 0ms to 10s",
            ),
            (
                &["contender.udp.udp.fec.unequal.key.unequal.key.red.depth=1"],
                "a class has no classes of its own: another code is needed here",
            ),
            (&["contender.udp.udp.fec.unequal.key.red.depth=0"], "0 is out of range: must be from 1 to 4"),
            (&["contender.udp.udp.fec.unequal={}"], "unequal protection of no class: "),
            (
                &["contender.udp.udp.fec.reed-solomon={ source = 100, repair = 10, interleave = 41 }"],
                "4100 source packets are too many at once: at most 40",
            ),
            (
                &["contender.udp.udp.fec.reed-solomon.per-frame={ percent = 256 }"],
                "256 is out of range: must be from 0 to 255",
            ),
            (
                &["contender.udp.udp.fec.reed-solomon.per-frame={ percent = 20, blocks = 5 }"],
                "5 is out of range: must be from 1 to 4",
            ),
            (
                &["contender.udp.udp.fec.xor-2d={ columns = 1, rows = 5 }"],
                "1 is out of range: must be from 2 to 254",
            ),
            (
                &["contender.udp.udp.fec.xor-2d={ columns = 100, rows = 50 }"],
                "5000 source packets are too many at once: at most 81",
            ),
            (
                &["contender.udp.udp.fec.xor-2d={ columns = 10, rows = 5, pause = \"2s\" }"],
                "2s is out of range: must be from 1ns to 1s",
            ),
            (
                &["contender.udp.udp.fec.rlc={ window = 1025, step = 4 }"],
                "1025 is out of range: must be from 1 to 1024",
            ),
            (
                &["contender.udp.udp.fec.rlc={ window = 16, step = 0 }"],
                "0 is out of range: must be from 1 to 10000",
            ),
            (
                &["contender.udp.udp.fec.rlc={ window = 16, code-rate = 1 }"],
                "1 is out of range: must be from 0.1 to 0.999",
            ),
            (
                &["contender.udp.udp.fec.rlc={ window = 16, step = 4, density = 16 }"],
                "16 is out of range: must be from 0 to 15",
            ),
            (
                &["contender.udp.udp.fec.rlc={ window = 16 }"],
                "one of `step`, `code-rate` is missing: exactly one is needed here",
            ),
            (
                &["contender.udp.udp.fec.streaming={ delay = 9, percent = 50 }"],
                "9 is out of range: must be from 0 to 8",
            ),
            (
                &["contender.\"a b\".tcp={}"],
                "`a b` is no name for a contender: a letter, then at most 31 letters, digits, `-`, `_` or `.`",
            ),
            (&["expect.baseline=tcp"], "unknown contender `tcp`: did you mean `udp`?"),
            (
                &["channel.radio.periodic={ period = \"20ms\", bad = \"21ms\" }"],
                "21ms is out of range: must be from 1ns to 20ms",
            ),
        ] {
            assert!(said(sets).iter().any(|one| one == expected), "{sets:?}: {:?}", said(sets));
        }
    }
}
