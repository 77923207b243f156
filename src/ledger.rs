//! The ledger: every packet has exactly one fate, and the books are closed after every trial.
//!
//! For each flow, direction and class: sent + duplicated = delivered + dropped + under way. Each source
//! packet becomes available at the receiver once, or is given up once, or is open when the run ends;
//! each frame leaves the sender's hands once and the receiver's once. The ledger learns all this from
//! records and believes none of the counters that the parts keep for themselves.

use std::collections::VecDeque;
use std::fmt;

use crate::endpoint::{Class, Direction, Flow};
use crate::frame::FrameId;
use crate::record::{Arrived, DropReason, Event, PacketInfo, Record, Sink};

/// What became of the packets of one flow, direction and class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketAccount {
    /// Entered the link.
    pub sent: u64,
    /// Second copies that the link made.
    pub duplicated: u64,
    /// Left the link at its far end.
    pub delivered: u64,
    /// Dropped by the link, by reason in the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
}

impl PacketAccount {
    /// What the link must still hold.
    fn under_way(&self) -> i128 {
        i128::from(self.sent) + i128::from(self.duplicated)
            - i128::from(self.delivered)
            - self.dropped.iter().copied().map(i128::from).sum::<i128>()
    }
}

/// What became of the source packets of one flow and direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceAccount {
    /// Sent for the first time.
    pub sent: u64,
    /// Arrived as sent, before the deadline of their frame.
    pub delivered_in_time: u64,
    /// Arrived as sent, after it.
    pub delivered_late: u64,
    /// Recovered from repair packets before the deadline.
    pub recovered_in_time: u64,
    /// Recovered after it.
    pub recovered_late: u64,
    /// Given up by the receiver.
    pub lost: u64,
}

impl SourceAccount {
    /// Without a fate when the run ended: under way, or missing and not yet given up.
    pub const fn open(&self) -> u64 {
        self.sent
            - self.delivered_in_time
            - self.delivered_late
            - self.recovered_in_time
            - self.recovered_late
            - self.lost
    }
}

/// The books of a trial.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    flows: Vec<[Books; 2]>,
    violations: Vec<String>,
}

/// The books of one flow and direction.
#[derive(Clone, Debug, Default)]
struct Books {
    packets: [PacketAccount; Class::ALL.len()],
    sources: SourceAccount,
    source_fates: Fates,
    frames_sent: RecentFates,
    frames_received: RecentFates,
    /// Repair packets that arrived inside source packets.
    riders: u64,
    repairs_settled: u64,
}

/// The books do not balance: a bug in the simulator, never the scenario's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Imbalance {
    /// What is wrong, a sentence each.
    pub violations: Vec<String>,
}

impl fmt::Display for Imbalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the packet ledger does not balance: {}", self.violations.join("; "))
    }
}

impl Ledger {
    /// How many violations are worth keeping: one bug makes thousands of them.
    const VIOLATIONS_MAX: usize = 8;

    /// Closes the books. `under_way` tells what the links still hold, by flow, direction and class;
    /// what is not told is taken to be zero.
    ///
    /// # Errors
    /// [`Imbalance`] where any packet or frame has no fate or more than one.
    pub fn close(
        &self,
        under_way: impl IntoIterator<Item = (Flow, Direction, Class, u64)>,
    ) -> Result<(), Imbalance> {
        let mut violations = self.violations.clone();
        let mut held = vec![[[0_i128; Class::ALL.len()]; 2]; self.flows.len()];
        for (flow, direction, class, count) in under_way {
            match held.get_mut(usize::from(flow.0)) {
                Some(flow) => flow[direction as usize][class as usize] += i128::from(count),
                None => violations.push(format!("the link holds packets of {flow:?}, which sent none")),
            }
        }
        for (index, (flow, held)) in self.flows.iter().zip(&held).enumerate() {
            for direction in Direction::BOTH {
                let (books, held) = (&flow[direction as usize], &held[direction as usize]);
                books.check(held, &mut |what| violations.push(format!("flow {index} {direction:?}: {what}")));
            }
        }
        violations.truncate(Self::VIOLATIONS_MAX);
        if violations.is_empty() { Ok(()) } else { Err(Imbalance { violations }) }
    }

    /// What became of the packets of a flow, direction and class.
    pub fn packets(&self, flow: Flow, direction: Direction, class: Class) -> PacketAccount {
        self.books(flow, direction).map(|books| books.packets[class as usize]).unwrap_or_default()
    }

    /// What became of the source packets of a flow and direction.
    pub fn sources(&self, flow: Flow, direction: Direction) -> SourceAccount {
        self.books(flow, direction).map(|books| books.sources).unwrap_or_default()
    }

    fn books(&self, flow: Flow, direction: Direction) -> Option<&Books> {
        self.flows.get(usize::from(flow.0)).map(|flow| &flow[direction as usize])
    }
}

impl Sink for Ledger {
    fn record(&mut self, record: &Record) {
        let flow = usize::from(record.flow.0);
        if self.flows.len() <= flow {
            self.flows.resize_with(flow + 1, Default::default);
        }
        let books = &mut self.flows[flow][record.direction as usize];
        if let Err(what) = books.enter(record)
            && self.violations.len() < Self::VIOLATIONS_MAX
        {
            let Record { at, flow, direction, .. } = record;
            self.violations.push(format!("{what} ({flow:?} {direction:?} at {at})"));
        }
    }
}

impl Books {
    /// Enters one record, or says what rule it breaks.
    fn enter(&mut self, record: &Record) -> Result<(), String> {
        match record.event {
            Event::PacketSent(info) => self.account(info).sent += 1,
            Event::PacketDuplicated(info) => self.account(info).duplicated += 1,
            Event::PacketDelivered(info, _) => self.account(info).delivered += 1,
            Event::PacketDropped(info, reason) => self.account(info).dropped[reason as usize] += 1,
            Event::SourceSent { source, .. } => {
                self.source_fates.open(source).map_err(|what| format!("source packet {what}"))?;
                self.sources.sent += 1;
            }
            Event::SourceArrived { source, by, in_time, .. } => {
                self.source_fates.settle(source).map_err(|what| format!("source packet {what}"))?;
                *match (by, in_time) {
                    (Arrived::Delivered, true) => &mut self.sources.delivered_in_time,
                    (Arrived::Delivered, false) => &mut self.sources.delivered_late,
                    (Arrived::Recovered { .. }, true) => &mut self.sources.recovered_in_time,
                    (Arrived::Recovered { .. }, false) => &mut self.sources.recovered_late,
                } += 1;
            }
            Event::SourceLost { source } => {
                self.source_fates.settle(source).map_err(|what| format!("source packet {what}"))?;
                self.sources.lost += 1;
            }
            Event::Miscoded { source } => return Err(format!("source packet {source} was miscoded")),
            Event::RidersArrived { count } => self.riders += u64::from(count),
            Event::RepairSettled(_) => self.repairs_settled += 1,
            Event::FrameCaptured { frame, .. } => {
                self.frames_sent.open(u64::from(frame.0)).map_err(|what| format!("frame {what}"))?;
                self.frames_received.open(u64::from(frame.0)).map_err(|what| format!("frame {what}"))?;
            }
            Event::FrameDropped { frame, .. } => self.settle_frame(frame, false)?,
            Event::FrameComplete { frame } | Event::FrameLost { frame } => self.settle_frame(frame, true)?,
            Event::FrameDecoded { .. }
            | Event::FrameUndecodable { .. }
            | Event::RefreshRequested { .. }
            | Event::LossRun { .. }
            | Event::RoundTrip(_)
            | Event::Malformed(_)
            | Event::PacketMarked(_) => {}
        }
        Ok(())
    }

    const fn account(&mut self, info: PacketInfo) -> &mut PacketAccount {
        &mut self.packets[info.class as usize]
    }

    /// A frame leaves the sender's hands, or the receiver's; each does so once.
    fn settle_frame(&mut self, frame: FrameId, received: bool) -> Result<(), String> {
        let fates = if received { &mut self.frames_received } else { &mut self.frames_sent };
        fates.settle(u64::from(frame.0)).map_err(|what| format!("frame {what}"))
    }

    fn check(&self, held: &[i128; Class::ALL.len()], violation: &mut dyn FnMut(String)) {
        for class in Class::ALL {
            let (account, held) = (self.packets[class as usize], held[class as usize]);
            if account.under_way() != held {
                violation(format!(
                    "{class:?}: {account:?} leave {} under way, not {held}",
                    account.under_way()
                ));
            }
        }
        let repairs = self.packets[Class::Repair as usize].delivered + self.riders;
        if self.repairs_settled > repairs {
            violation(format!("{} repair packets settled of {repairs} delivered", self.repairs_settled));
        }
    }
}

/// Which of the numbers 0, 1, 2, … have been opened and settled: a window that starts at the oldest
/// one still open.
#[derive(Clone, Debug, Default)]
struct Fates {
    first: u64,
    settled: VecDeque<bool>,
}

impl Fates {
    /// Numbers that can be open between the oldest open one and the newest. Sizes no real transport
    /// comes near, so that a leak shows as a violation instead of as memory.
    const OPEN_MAX: usize = 1 << 22;

    fn open(&mut self, number: u64) -> Result<(), String> {
        let next = self.first + self.settled.len() as u64;
        if number != next {
            return Err(format!("{number} came where {next} was due"));
        }
        if self.settled.len() == Self::OPEN_MAX {
            return Err(format!("{} is still open {} later", self.first, Self::OPEN_MAX));
        }
        self.settled.push_back(false);
        Ok(())
    }

    fn settle(&mut self, number: u64) -> Result<(), String> {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| self.settled.get_mut(place)) {
            Some(settled) if !*settled => *settled = true,
            Some(_) => return Err(format!("{number} has two fates")),
            None if number < self.first => return Err(format!("{number} has two fates")),
            None => return Err(format!("{number} has a fate but was never sent")),
        }
        while self.settled.front() == Some(&true) {
            self.settled.pop_front();
            self.first += 1;
        }
        Ok(())
    }
}

/// As [`Fates`] for what need not have a fate: no sender tells of the frames that it did not drop, no
/// receiver of those that were dropped. So only the last ones are remembered.
#[derive(Clone, Debug, Default)]
struct RecentFates {
    first: u64,
    settled: VecDeque<bool>,
}

impl RecentFates {
    /// How far back a second fate is found: twice as many frames as any transport keeps waiting.
    const MEMORY: usize = 8192;

    fn open(&mut self, number: u64) -> Result<(), String> {
        let next = self.first + self.settled.len() as u64;
        if number != next {
            return Err(format!("{number} came where {next} was due"));
        }
        if self.settled.len() == Self::MEMORY {
            self.settled.pop_front();
            self.first += 1;
        }
        self.settled.push_back(false);
        Ok(())
    }

    fn settle(&mut self, number: u64) -> Result<(), String> {
        let Some(place) = number.checked_sub(self.first) else { return Ok(()) };
        match usize::try_from(place).ok().and_then(|place| self.settled.get_mut(place)) {
            Some(settled) if !*settled => *settled = true,
            Some(_) => return Err(format!("{number} has two fates")),
            None => return Err(format!("{number} has a fate but was never sent")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Transit;
    use crate::time::Time;

    const INFO: PacketInfo = PacketInfo { index: 0, class: Class::Source, size: 1228, payload: 1172 };

    fn ledger_of(events: &[Event]) -> Ledger {
        let mut ledger = Ledger::default();
        for &event in events {
            ledger.record(&Record { at: Time::ZERO, flow: Flow(1), direction: Direction::Down, event });
        }
        ledger
    }

    #[test]
    fn books_balance_when_every_packet_has_one_fate() {
        let ledger = ledger_of(&[
            Event::PacketSent(INFO),
            Event::PacketSent(INFO),
            Event::PacketDuplicated(INFO),
            Event::PacketDelivered(INFO, Transit::default()),
            Event::PacketDropped(INFO, DropReason::Loss),
        ]);
        assert_eq!(ledger.close([(Flow(1), Direction::Down, Class::Source, 1)]), Ok(()));
        assert!(ledger.close([]).is_err(), "one packet is still under way");
        assert!(ledger.close([(Flow(1), Direction::Up, Class::Source, 1)]).is_err(), "other direction");
        assert!(ledger.close([(Flow(9), Direction::Up, Class::Source, 1)]).is_err(), "unknown flow");
    }

    #[test]
    fn a_source_packet_with_two_fates_is_a_violation() {
        let sent = |source| Event::SourceSent { source, bytes: 10 };
        let arrived =
            |source| Event::SourceArrived { source, bytes: 10, by: Arrived::Delivered, in_time: true };
        let good = ledger_of(&[sent(0), sent(1), arrived(1), Event::SourceLost { source: 0 }, sent(2)]);
        assert_eq!(good.close([]), Ok(()));
        let account = good.sources(Flow(1), Direction::Down);
        assert_eq!((account.sent, account.delivered_in_time, account.lost, account.open()), (3, 1, 1, 1));

        for bad in [
            &[sent(0), arrived(0), arrived(0)][..],
            &[sent(0), sent(1), arrived(1), arrived(1)],
            &[sent(0), arrived(0), Event::SourceLost { source: 0 }],
            &[arrived(0)],
            &[sent(1)],
            &[sent(0), Event::Miscoded { source: 0 }],
        ] {
            assert!(ledger_of(bad).close([]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_frame_completes_or_is_lost_but_not_both() {
        let frame = FrameId(0);
        let (regions, again) = Default::default();
        let captured = Event::FrameCaptured { frame, bytes: 1, deadline: Time::ZERO, regions, again };
        assert!(ledger_of(&[captured, Event::FrameComplete { frame }]).close([]).is_ok());
        let both = [captured, Event::FrameComplete { frame }, Event::FrameLost { frame }];
        assert!(ledger_of(&both).close([]).is_err());
        assert!(ledger_of(&[Event::FrameComplete { frame }]).close([]).is_err(), "never captured");
    }

    #[test]
    fn frames_whose_fate_nobody_tells_take_no_memory_for_ever() {
        let captured = |frame| {
            let (regions, again) = Default::default();
            Event::FrameCaptured { frame: FrameId(frame), bytes: 1, deadline: Time::ZERO, regions, again }
        };
        let ledger = ledger_of(&(0..100_000).map(captured).collect::<Vec<_>>());
        let books = ledger.books(Flow(1), Direction::Down).unwrap();
        assert_eq!(books.frames_sent.settled.len(), RecentFates::MEMORY);
        assert_eq!(books.frames_received.settled.len(), RecentFates::MEMORY);
        assert_eq!(ledger.close([]), Ok(()));
    }

    #[test]
    fn more_repairs_settled_than_arrived_are_a_violation() {
        let settled = Event::RepairSettled(crate::record::RepairFate::Used);
        assert!(ledger_of(&[settled]).close([]).is_err());
    }

    #[test]
    fn an_imbalance_says_what_is_wrong() {
        let error = ledger_of(&[Event::PacketSent(INFO)]).close([]).unwrap_err();
        assert!(error.to_string().contains("flow 1 Down: Source"), "{error}");
        assert!(error.to_string().contains("leave 1 under way, not 0"), "{error}");
    }
}
