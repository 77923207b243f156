//! From what was written to what is meant: the typed scenario that a run is made of.
//!
//! A [`Draft`] has been checked, so that what is left to go wrong are the files it names. Each family of
//! strategies has its one `match` here: loss models and jitter in `path`, transports in `contender`, codes
//! in `code`, workloads in `traffic`.

mod code;
mod contender;
mod path;
mod recording;
mod traffic;

use std::fmt::Display;

use self::contender::Pace;
use self::recording::Fault;
use super::file::ScenarioFile;
use super::parse::Draft;
use super::place::At;
use super::problem::{Problem, Problems};
use super::source::Sources;
use crate::endpoint::{Direction, Stale};
use crate::fec::Scheme;
use crate::impair::config::PathConfig;
use crate::session::ports::PortRange;
use crate::time::{Duration, Time};
use crate::traffic::WorkloadConfig;
use crate::{quic, tcp, transport};

/// A scenario, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Nothing captured or sent before this is measured.
    pub warm_up: Time,
    /// When the applications stop.
    pub duration: Time,
    /// When the run ends: what was captured by `duration` may still arrive until then.
    pub end: Time,
    /// The time from one display tick to the next.
    pub display: Duration,
    /// Sessions of each contender side by side.
    pub sessions: u16,
    /// The ports they are given.
    pub ports: PortRange,
    /// What each session sends.
    pub traffic: Directions,
    /// What it crosses.
    pub path: PathConfig,
    /// Who shares the path with every contender.
    pub neighbours: Vec<Neighbour>,
    /// Who is compared.
    pub contenders: Vec<Contender>,
    /// The place of the contender with which the others are compared.
    pub baseline: usize,
}

/// The workload of each direction, where there is one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directions {
    /// From the server to the person.
    pub down: Option<WorkloadConfig>,
    /// From the person to the server.
    pub up: Option<WorkloadConfig>,
}

impl Directions {
    /// The workload of a direction.
    pub const fn get(&self, direction: Direction) -> Option<&WorkloadConfig> {
        match direction {
            Direction::Down => self.down.as_ref(),
            Direction::Up => self.up.as_ref(),
        }
    }
}

/// Other traffic on the path.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour {
    /// Its name in the file.
    pub name: String,
    /// How many of them there are.
    pub count: u16,
    /// What carries it.
    pub protocol: Protocol,
    /// What it is; it travels down.
    pub traffic: WorkloadConfig,
}

/// One of those who are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    /// Its name in the file.
    pub name: String,
    /// What it is.
    pub protocol: Protocol,
}

/// A transport and its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Protocol {
    /// TCP as the model has it.
    Tcp(tcp::Config),
    /// QUIC as quinn-proto has it.
    Quic(quic::Config),
    /// Our UDP transport with a code. Each direction may have a pace of its own.
    Udp {
        /// The server's end.
        down: transport::Config,
        /// The person's end.
        up: transport::Config,
        /// The code that protects what it sends.
        scheme: Scheme,
    },
}

impl Protocol {
    /// Whether it adapts its rate to the path.
    pub const fn is_congestion_controlled(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Quic(_) => true,
            Self::Udp { down, .. } => matches!(down.rate, transport::rate::Rate::Delay(_)),
        }
    }

    /// Whether it sends the same packets whatever becomes of them: nothing that it hears changes its
    /// rate, its code or what it repeats, and it drops no frame.
    pub const fn is_open_loop(&self) -> bool {
        let Self::Udp { down, scheme, .. } = self else { return false };
        let steady_code = !matches!(
            scheme,
            Scheme::Adaptive(_) | Scheme::WebRtc | Scheme::LossTolerant(_) | Scheme::Own(_)
        );
        let blind = matches!(down.retransmit, transport::Retransmit::Never);
        let steady_rate = !matches!(down.rate, transport::rate::Rate::Delay(_));
        steady_code && blind && steady_rate && matches!(down.stale, Stale::Keep)
    }

    /// Whether it is TCP that takes part in explicit congestion notification.
    pub const fn is_tcp_with_ecn(&self) -> bool {
        matches!(self, Self::Tcp(config) if config.ecn)
    }

    /// Whether it is TCP.
    pub const fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

impl Display for Protocol {
    /// In a few words: `TCP cubic`, `QUIC bbr`, `UDP reed-solomon 10+3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(config) => write!(f, "TCP {}", config.congestion.name()),
            Self::Quic(config) => {
                write!(f, "QUIC {}", config.congestion.name())?;
                match config.mapping {
                    quic::Mapping::Streams if config.resets => f.write_str(", resets"),
                    quic::Mapping::Streams => Ok(()),
                    quic::Mapping::Datagrams => f.write_str(", datagrams"),
                }
            }
            Self::Udp { down, scheme, .. } => {
                write!(f, "UDP {scheme}")?;
                match (down.retransmit, down.answer) {
                    (transport::Retransmit::Never, _) => Ok(()),
                    (_, transport::Answer::Source) => f.write_str(" + retransmission"),
                    (_, transport::Answer::Repair) => f.write_str(" + repair on request"),
                }
            }
        }
    }
}

impl Scenario {
    /// The scenario with those contenders only whose protocol is `wanted`, and the names of the others.
    pub fn with_only(mut self, wanted: impl Fn(&Protocol) -> bool) -> (Self, Vec<String>) {
        let baseline = self.contenders.get(self.baseline).map(|one| one.name.clone());
        let (kept, others): (Vec<_>, Vec<_>) =
            self.contenders.into_iter().partition(|one| wanted(&one.protocol));
        self.baseline = kept.iter().position(|one| Some(&one.name) == baseline.as_ref()).unwrap_or_default();
        self.contenders = kept;
        (self, others.into_iter().map(|one| one.name).collect())
    }

    /// The scenario that a draft means.
    ///
    /// # Errors
    /// [`Problems`] with the files that it names, each pointing at the name.
    pub fn new(draft: &Draft) -> Result<Self, Problems> {
        let mut lower = Lower { sources: draft.sources.clone(), file: &draft.file, problems: Vec::new() };
        let scenario = lower.scenario();
        match scenario {
            Some(scenario) if lower.problems.is_empty() => Ok(scenario),
            _ => Err(Problems::new(lower.sources, lower.problems)),
        }
    }
}

/// Lowers a draft, collecting what is wrong with the files it names.
struct Lower<'a> {
    /// The draft's, and the lines of other files that are wrong.
    sources: Sources,
    file: &'a ScenarioFile,
    problems: Vec<Problem>,
}

impl Lower<'_> {
    fn scenario(&mut self) -> Option<Scenario> {
        let file = self.file;
        let path = self.path();
        let traffic = Directions { down: self.traffic(Direction::Down), up: self.traffic(Direction::Up) };
        let duration = Time::ZERO + file.duration.value;
        let pace = Pace::of(file);
        let neighbours = file.neighbour.iter();
        let neighbours = neighbours.filter_map(|(name, one)| self.neighbour(name, one, &pace)).collect();
        Some(Scenario {
            warm_up: Time::ZERO + file.measure.warm_up.value,
            duration,
            end: duration + file.measure.drain.value,
            display: file.display.rate.period(),
            sessions: file.session.count.value as u16,
            ports: file.session.ports.value,
            traffic,
            path: path?,
            neighbours,
            contenders: file
                .contender
                .iter()
                .map(|(name, one)| Contender {
                    name: name.value.clone(),
                    protocol: self.protocol(one, &pace),
                })
                .collect(),
            baseline: self.baseline(),
        })
    }

    /// The contender with which the others are compared: the one that is named, or the first TCP, or the
    /// first.
    fn baseline(&self) -> usize {
        let contenders = &self.file.contender;
        let named = self.file.expect.baseline.as_ref();
        let is_tcp = |contender: &super::file::contender::Contender| {
            matches!(contender, super::file::contender::Contender::Tcp(_))
        };
        named
            .and_then(|name| contenders.names().position(|other| other == name.as_str()))
            .or_else(|| contenders.iter().position(|(_, contender)| is_tcp(contender)))
            .unwrap_or(0)
    }

    /// What is in the file called `name`, read by `parse`.
    fn read<T, E: Into<Fault>>(
        &mut self,
        name: &At<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = match self.sources.read_file(name) {
            Ok(text) => text,
            Err(reason) => {
                let problem = Problem::at(name.span(), format!("cannot read `{}`", **name));
                self.problems.push(problem.label(reason));
                return None;
            }
        };
        match parse(&text) {
            Ok(read) => Some(read),
            Err(error) => {
                let problem = error.into().problem(name, &text, &mut self.sources);
                self.problems.push(problem);
                None
            }
        }
    }
}
