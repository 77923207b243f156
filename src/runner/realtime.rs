//! Trials in real time: each is played elsewhere, in a thread or a process of its own, and told about in
//! messages; here they become the same metrics as those of virtual time.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::outcome::Outcome;
use super::trial::Books;
use crate::drive::message::{self, ClockReading, Command, Message, TcpSample};
use crate::drive::timing::Timing;
use crate::endpoint::Flow;
use crate::ledger::Imbalance;
use crate::measure::Metrics;
use crate::record::{Discard, Sink};
use crate::scenario::{Protocol, Scenario};
use crate::time::Time;

/// A trial under way: what it tells, and where it takes commands.
#[derive(Debug)]
pub struct Playing {
    messages: Receiver<io::Result<Message>>,
    commands: Sender<Command>,
    child: Option<Child>,
}

/// Whoever wants to see the trials as they run.
pub trait Observer: Sync {
    /// The contender of this place tells this.
    fn observe(&self, contender: usize, message: &Message);
}

/// Sees nothing.
impl Observer for () {
    fn observe(&self, _: usize, _: &Message) {}
}

/// The scenario without its QUIC contenders, which have no sockets for the kernel path, and their names.
pub fn without_quic(scenario: Scenario) -> (Scenario, Vec<String>) {
    scenario.with_only(|protocol| !matches!(protocol, Protocol::Quic(_)))
}

/// What came of a scenario in real time.
#[derive(Clone, Debug, PartialEq)]
pub struct RealTimeOutcome {
    /// The same as of virtual time.
    pub outcome: Outcome,
    /// How well time was kept by the trials of each contender.
    pub timing: Vec<Timing>,
    /// Where the trials were on two machines: the least certain of what was known of the other clock.
    pub clock: Option<ClockReading>,
    /// What whoever reads the figures should know: a contender's name, and what it is.
    pub notes: Vec<(String, String)>,
}

/// What came of one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// Its metrics.
    pub metrics: Metrics,
    /// How well time was kept.
    pub timing: Timing,
    /// What is known of the other machine's clock, where there is one.
    pub clock: Option<ClockReading>,
    /// The port of each session.
    pub ports: Vec<u16>,
    /// What whoever reads the figures should know.
    pub notes: Vec<String>,
}

/// Why a trial in real time came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RealTimeError {
    /// The trial says why.
    #[error("{0}")]
    Failed(String),
    /// It ended without a word.
    #[error("the trial ended before it was over")]
    BrokeOff,
    /// Its words could not be read.
    #[error("cannot read what the trial tells: {0}")]
    Unreadable(#[from] io::Error),
    /// A packet without a fate, or with two.
    #[error("{0}; this is a bug, please report it")]
    Ledger(#[from] Imbalance),
}

impl Playing {
    /// A trial that `play` plays in a thread of its own.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn in_thread(
        play: impl FnOnce(Receiver<Command>, &mut dyn FnMut(Message)) + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, messages) = mpsc::channel();
        let (commands, receiver) = mpsc::channel();
        thread::Builder::new().name("trial".to_owned()).spawn(move || {
            // Whoever listened may have gone; the trial then ends by its command or its time.
            play(receiver, &mut |message| drop(tell.send(Ok(message))));
        })?;
        Ok(Self { messages, commands, child: None })
    }

    /// A trial in the process `child`, which tells messages on its standard output and takes commands on
    /// its standard input. The process is ended where this is dropped.
    ///
    /// # Errors
    /// Where the system gives no thread, or the process has no pipes.
    pub fn in_process(mut child: Child) -> io::Result<Self> {
        let pipes = child.stdout.take().zip(child.stdin.take());
        let (output, mut input) = pipes.ok_or_else(|| io::Error::other("the process has no pipes"))?;
        let (tell, messages) = mpsc::channel();
        let (commands, receiver) = mpsc::channel();
        thread::Builder::new().name("listener".to_owned()).spawn(move || {
            let mut output = BufReader::with_capacity(1 << 18, output);
            while let Some(message) = next(&mut output) {
                if tell.send(message).is_err() {
                    return;
                }
            }
        })?;
        thread::Builder::new().name("commander".to_owned()).spawn(move || {
            for command in receiver {
                let mut bytes = Vec::new();
                message::encode(&command, &mut bytes);
                if input.write_all(&bytes).and_then(|()| input.flush()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { messages, commands, child: Some(child) })
    }

    /// Where the trial takes commands; they come to nothing when it is over.
    pub fn commands(&self) -> Sender<Command> {
        self.commands.clone()
    }

    /// Listens to the end, as contender `place` of `scenario` with `seed`; `also` gets the records too.
    /// Where the run is `cancelled`, somebody has told the trial to stop, and it ends before its time.
    ///
    /// # Errors
    /// [`RealTimeError`].
    pub fn finish(
        self,
        scenario: &Scenario,
        seed: u64,
        place: usize,
        cancelled: &AtomicBool,
        observer: &dyn Observer,
        also: &mut dyn Sink,
    ) -> Result<Played, RealTimeError> {
        let mut books = (Books::new(scenario, seed), also);
        let (mut timing, mut clock, mut ports) = (Timing::default(), None, Vec::new());
        let (mut notes, mut last, mut connections) = (Vec::new(), Time::ZERO, BTreeMap::new());
        for message in &self.messages {
            let message = message?;
            observer.observe(place, &message);
            match message {
                Message::Started { ports: given } => ports = given,
                Message::Record(record) => {
                    last = record.at;
                    books.record(&record);
                }
                Message::Timing(latest) => timing = latest,
                Message::Clock(reading) => clock = Some(reading),
                Message::Note(note) => notes.push(note),
                Message::Progress(_) => {}
                Message::Tcp(sample) => {
                    connections.insert(sample.flow, sample);
                }
                Message::Closed { under_way } => {
                    if cancelled.load(Ordering::Relaxed) {
                        books.0.cut(last);
                    }
                    notes.extend(connections_note(&connections));
                    let mut metrics = books.0.close(under_way)?;
                    if let Some(clock) = clock {
                        metrics.withhold_below(clock.bound.as_millis_f64());
                    }
                    return Ok(Played { metrics, timing, clock, ports, notes });
                }
                Message::Failed(why) => return Err(RealTimeError::Failed(why)),
            }
        }
        Err(RealTimeError::BrokeOff)
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended already cannot be ended; either way it has to be waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the kernel said last about the connections of a trial, where it said anything.
fn connections_note(connections: &BTreeMap<Flow, TcpSample>) -> Option<String> {
    let each = || connections.values();
    let least = each().map(|sample| sample.least_round_trip).min()?;
    let smoothed = each().map(|sample| sample.smoothed_round_trip).max()?;
    let resent: u64 = each().map(|sample| u64::from(sample.retransmitted)).sum();
    Some(format!(
        "the kernel sent {resent} segments again; its round trip was {:.1} ms at least and {:.1} ms at the end",
        least.as_millis_f64(),
        smoothed.as_millis_f64()
    ))
}

/// The next message; none where the other end closed in good order.
fn next(output: &mut impl Read) -> Option<io::Result<Message>> {
    message::read(output).transpose()
}

/// Plays every contender with every seed, the contenders side by side, the seeds one after the other.
/// `start` starts a trial: contender, seed. A run that is cancelled keeps the seeds that are complete, or
/// of the first one what there was of it.
///
/// # Errors
/// [`RealTimeError`] of the first trial that came to nothing, with its contender's name; and where a trial
/// cannot be started.
pub fn run(
    scenario: &Scenario,
    seeds: &[u64],
    cancelled: &AtomicBool,
    observer: &dyn Observer,
    start: &(dyn Fn(usize, u64) -> io::Result<Playing> + Sync),
) -> Result<RealTimeOutcome, (String, RealTimeError)> {
    let contenders = scenario.contenders.len();
    let mut by_contender: Vec<Vec<Metrics>> = vec![Vec::new(); contenders];
    let mut timing = vec![Timing::default(); contenders];
    let (mut played_seeds, mut clock, mut notes) = (Vec::new(), None, Vec::new());
    let mut ports = (0, 0);
    for &seed in seeds {
        let played = side_by_side(scenario, seed, cancelled, observer, start)?;
        let cut = cancelled.load(Ordering::Relaxed);
        if cut && !played_seeds.is_empty() {
            break;
        }
        for (place, played) in played.into_iter().enumerate() {
            timing[place] = timing[place].worse(played.timing);
            clock =
                [clock, played.clock].into_iter().flatten().max_by_key(|clock: &ClockReading| clock.bound);
            let name = &scenario.contenders[place].name;
            notes.extend(played.notes.into_iter().map(|note| (name.clone(), note)));
            // Of the first contender that has any: a model without sockets has none.
            if let (Some(&lowest), Some(&highest), (0, 0)) =
                (played.ports.iter().min(), played.ports.iter().max(), ports)
            {
                ports = (lowest, highest);
            }
            by_contender[place].push(played.metrics);
        }
        played_seeds.push(seed);
        if cut {
            break;
        }
    }
    if ports == (0, 0) {
        // The model's TCP has no sockets: it says the ports that its sessions would have.
        ports = super::trial::ports(scenario).unwrap_or_default();
    }
    let whole = played_seeds.len() == seeds.len() && !cancelled.load(Ordering::Relaxed);
    let outcome = Outcome::new(scenario, played_seeds, whole, by_contender, ports);
    Ok(RealTimeOutcome { outcome, timing, clock, notes })
}

/// Plays all contenders with one seed. Where one of them comes to nothing the others are told to stop.
fn side_by_side(
    scenario: &Scenario,
    seed: u64,
    cancelled: &AtomicBool,
    observer: &dyn Observer,
    start: &(dyn Fn(usize, u64) -> io::Result<Playing> + Sync),
) -> Result<Vec<Played>, (String, RealTimeError)> {
    // Where the trials under way take commands; none once one has come to nothing.
    let commands = Mutex::new(Some(Vec::new()));
    let under_way = || commands.lock().unwrap_or_else(PoisonError::into_inner);
    let stop = |trial: &Sender<Command>| {
        // One that has ended no longer listens.
        let _ = trial.send(Command::Stop);
    };
    let play = |place: usize| {
        let played = start(place, seed).map_err(RealTimeError::from).and_then(|playing| {
            match under_way().as_mut() {
                Some(trials) => trials.push(playing.commands()),
                None => stop(&playing.commands()),
            }
            playing.finish(scenario, seed, place, cancelled, observer, &mut Discard)
        });
        played.map_err(|error| {
            under_way().take().iter().flatten().for_each(stop);
            (scenario.contenders[place].name.clone(), error)
        })
    };
    thread::scope(|scope| {
        let trials: Vec<_> =
            (0..scenario.contenders.len()).map(|place| scope.spawn(move || play(place))).collect();
        trials
            .into_iter()
            .map(|trial| match trial.join() {
                Ok(played) => played,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;
    use crate::record::Record;
    use crate::scenario::source::Sources;
    use crate::scenario::{built_in, parse};

    fn scenario() -> Scenario {
        let built_in = built_in::find(built_in::SCENARIOS, "lan-clean").unwrap();
        let draft =
            parse(Sources::built_in("lan-clean", built_in.text), &["duration=3s".to_owned()]).unwrap();
        Scenario::new(&draft).unwrap()
    }

    /// What a trial in real time would tell of a run that took just as long.
    fn told(scenario: &Scenario, contender: usize) -> Vec<Message> {
        let mut records: Vec<Record> = Vec::new();
        let under_way = trial::simulate(scenario, &scenario.contenders[contender], 1, &mut records);
        let started = Message::Started { ports: vec![3224] };
        let timing = Message::Timing(Timing { events: 7, ..Timing::default() });
        let records = records.into_iter().map(Message::Record);
        [started].into_iter().chain(records).chain([timing, Message::Closed { under_way }]).collect()
    }

    fn finish(told: Vec<Message>) -> Result<Played, RealTimeError> {
        let playing = Playing::in_thread(|_, tell| told.into_iter().for_each(tell)).unwrap();
        playing.finish(&scenario(), 1, 0, &AtomicBool::new(false), &(), &mut Discard)
    }

    #[test]
    fn what_is_told_becomes_the_metrics_of_virtual_time() {
        let scenario = scenario();
        let played = finish(told(&scenario, 0)).unwrap();
        assert_eq!(played.metrics, trial::run(&scenario, &scenario.contenders[0], 1).unwrap());
        assert_eq!((played.timing.events, played.ports), (7, vec![3224]));
    }

    #[test]
    fn a_packet_without_a_fate_fails_the_trial() {
        let mut told = told(&scenario(), 0);
        let delivered = |message: &Message| {
            matches!(
                message,
                Message::Record(Record { event: crate::record::Event::PacketDelivered(..), .. })
            )
        };
        let place = told.iter().position(delivered).unwrap();
        told.remove(place);
        assert!(matches!(finish(told), Err(RealTimeError::Ledger(_))));
    }

    #[test]
    fn what_the_clocks_do_not_show_is_withheld() {
        let mut told = told(&scenario(), 1);
        let reading =
            ClockReading { offset_ns: 5, skew_ppm: None, bound: crate::time::Duration::from_secs(1) };
        told.insert(1, Message::Clock(reading));
        let played = finish(told).unwrap();
        assert_eq!(played.clock, Some(reading));
        let withheld = Some(crate::measure::Value::Absent(crate::measure::metrics::BELOW_CLOCKS));
        assert_eq!(played.metrics.get("age_p99_ms"), withheld);
    }

    #[test]
    fn a_trial_that_fails_or_breaks_off_says_so() {
        let failed = finish(vec![Message::Failed("no TUN".to_owned())]).unwrap_err();
        assert_eq!(failed.to_string(), "no TUN");
        let mut told = told(&scenario(), 0);
        told.pop();
        assert!(matches!(finish(told), Err(RealTimeError::BrokeOff)));
    }

    #[test]
    fn what_the_kernel_said_last_of_its_connections_is_noted() {
        let sample = |flow, least_ms, resent| {
            let millis = crate::time::Duration::from_millis;
            Message::Tcp(TcpSample {
                at: Time::ZERO,
                flow: Flow(flow),
                window: 10,
                smoothed_round_trip: millis(60),
                least_round_trip: millis(least_ms),
                retransmitted: resent,
                delivery_rate_bps: 0,
            })
        };
        let mut told = told(&scenario(), 0);
        told.splice(1..1, [sample(0, 50, 1), sample(1, 51, 2), sample(0, 50, 4)]);
        let expected =
            "the kernel sent 6 segments again; its round trip was 50.0 ms at least and 60.0 ms at the end";
        assert_eq!(finish(told).unwrap().notes, [expected]);
    }

    #[test]
    fn where_one_trial_fails_the_others_are_told_to_stop() {
        let scenario = scenario();
        let start = |contender: usize, _: u64| {
            Playing::in_thread(move |commands, tell| {
                if contender == 0 {
                    tell(Message::Failed("no port".to_owned()));
                } else {
                    // Else it would go on for ever.
                    assert_eq!(commands.recv(), Ok(Command::Stop));
                    tell(Message::Closed { under_way: Vec::new() });
                }
            })
        };
        let (name, error) = run(&scenario, &[1], &AtomicBool::new(false), &(), &start).unwrap_err();
        assert_eq!((name, error.to_string()), (scenario.contenders[0].name.clone(), "no port".to_owned()));
    }

    #[test]
    fn all_contenders_of_all_seeds_become_an_outcome() {
        let scenario = scenario();
        let start = |contender: usize, _: u64| {
            let told = told(&scenario, contender);
            Playing::in_thread(|_, tell| told.into_iter().for_each(tell))
        };
        let cancelled = AtomicBool::new(false);
        let real = run(&scenario, &[1], &cancelled, &(), &start).unwrap();
        assert_eq!(
            (real.outcome.seeds, real.outcome.complete, real.outcome.ports),
            (vec![1], true, (3224, 3224))
        );
        assert_eq!(real.outcome.contenders.len(), scenario.contenders.len());
    }
}
