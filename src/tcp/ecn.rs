//! Explicit congestion notification (RFC 3168), as Linux does it.
//!
//! A queue on the way marks a segment instead of dropping it; the receiver echoes that with every
//! acknowledgment until the sender says that it has reduced its window, once a round trip, as for a loss
//! but with nothing to send again.
//!
//! | | RFC 3168 | here and Linux |
//! | --- | --- | --- |
//! | who asks for it | the client, if it wants to | the client, where it is switched on; Linux's default (`tcp_ecn = 2`) only agrees when asked |
//! | retransmissions and bare acknowledgments | never marked as taking part (sections 6.1.4, 6.1.5) | the same |
//! | the answer to a mark | the window falls as for a loss | the threshold as for a loss, by proportional rate reduction |
//! | BBR version 1 | not said | ignores marks: it sets its window itself |

use super::segment::{Handshake, Segment};
use crate::endpoint::Ecn;

/// The two bits of a TCP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// A mark arrived (ECE); in the handshake, the end takes part.
    pub echo: bool,
    /// The window was reduced (CWR); in the handshake, the client asks for it.
    pub reduced: bool,
}

/// What one end knows of marks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notification {
    /// Whether this end would take part.
    wanted: bool,
    /// Whether both ends do.
    agreed: bool,
    /// Whether acknowledgments echo a mark.
    echoes: bool,
}

impl Notification {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// The flags of a segment that leaves.
    pub(super) const fn flags(&self, handshake: Handshake) -> Flags {
        match handshake {
            Handshake::Syn => Flags { echo: self.wanted, reduced: self.wanted },
            Handshake::SynAck => Flags { echo: self.agreed, reduced: false },
            Handshake::Done => Flags { echo: self.echoes, reduced: false },
        }
    }

    /// Whether segments with new data may be marked.
    pub(super) const fn is_agreed(&self) -> bool {
        self.agreed
    }

    /// Takes a segment of the handshake.
    pub(super) fn negotiate(&mut self, segment: &Segment) {
        let Flags { echo, reduced } = segment.ecn;
        match segment.handshake {
            Handshake::Syn => self.agreed = self.wanted && echo && reduced,
            Handshake::SynAck => self.agreed = self.wanted && echo && !reduced,
            Handshake::Done => {}
        }
    }

    /// Takes a segment with data that arrived with this mark; whether it must be acknowledged at once.
    pub(super) fn arrive(&mut self, segment: &Segment, mark: Ecn) -> bool {
        if !self.agreed {
            return false;
        }
        let before = self.echoes;
        self.echoes = mark == Ecn::Ce || before && !segment.ecn.reduced;
        // A sender whose window is small by now waits for it (tcp_ecn_accept_cwr); and it shall learn of
        // the first mark soon.
        segment.ecn.reduced || self.echoes && !before
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Pair;
    use super::super::{Config, Congestion};
    use super::*;
    use crate::endpoint::Class;
    use crate::time::Time;

    fn config(ecn: bool, congestion: Congestion) -> Config {
        Config { ecn, congestion, ..Config::default() }
    }

    /// A download on which the segments of these numbers are marked, where they may be.
    fn download(config: &Config, marked: fn(usize) -> bool) -> Pair {
        let mut pair = Pair::new(config, |_| false);
        pair.marked = marked;
        pair.offer(0, 3_000_000, Time::NEVER);
        pair.run_until(Time::from_secs(20));
        pair
    }

    #[test]
    fn a_mark_slows_the_sender_down_and_nothing_is_sent_again() {
        let plain = download(&config(true, Congestion::Reno), |_| false);
        let marked = download(&config(true, Congestion::Reno), |number| number == 200);
        assert!(marked.sent.iter().all(|(_, segment)| segment.class != Class::Retransmission));
        let reductions = marked.sent.iter().filter(|(_, segment)| segment.ecn.reduced).count();
        assert_eq!(reductions, 1, "the sender says so once");
        assert!(marked.finished() > plain.finished(), "and is slower for it");
    }

    #[test]
    fn marks_within_a_round_trip_are_one() {
        let one = download(&config(true, Congestion::Cubic), |number| number == 200);
        let many = download(&config(true, Congestion::Cubic), |number| (200..230).contains(&number));
        let reductions = |pair: &Pair| pair.sent.iter().filter(|(_, segment)| segment.ecn.reduced).count();
        assert_eq!((reductions(&one), reductions(&many)), (1, 1));
    }

    #[test]
    fn an_end_that_does_not_take_part_is_never_marked() {
        let pair = download(&config(false, Congestion::Cubic), |_| true);
        assert!(pair.sent.iter().all(|(_, segment)| segment.ecn == Flags::default()));
        let taking = download(&config(true, Congestion::Cubic), |_| true);
        let handshake = taking.sent.iter().find(|(_, segment)| segment.handshake == Handshake::SynAck);
        assert_eq!(handshake.unwrap().1.ecn, Flags { echo: true, reduced: false });
    }

    #[test]
    fn bbr_takes_no_notice_of_marks() {
        let plain = download(&config(true, Congestion::Bbr), |_| false);
        let marked = download(&config(true, Congestion::Bbr), |number| number % 10 == 0);
        let (plain, marked) = (plain.finished().as_secs_f64(), marked.finished().as_secs_f64());
        assert!(marked < 1.1 * plain, "{marked} s against {plain} s");
    }
}
