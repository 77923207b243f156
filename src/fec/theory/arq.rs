//! Retransmission: a packet is lost for good where it and all its repetitions in time are.
//!
//! On independent losses e and m tries that is e^(1 + m). On the channel of Gilbert with loss π and
//! memory λ, tries d packets apart, π·(π + (1 − π)·λ^d)^m, which is exact where requests are not lost:
//! the law of copies ([`super::copies`]), only that these leave on demand.

use super::{Channel, copies};
use crate::time::Duration;

/// The share of packets that are lost for good with `tries` retransmissions, each `distance` packets
/// behind the try before.
pub fn residual(channel: &Channel, tries: u32, distance: u32) -> f64 {
    copies::residual(channel, &vec![distance; tries as usize])
}

/// How many retransmissions arrive within `deadline` of the first sending: each needs a round trip and
/// `reaction`, the time in which the receiver notices the gap and the sender's turn comes, and the last
/// of them the `one_way` delay of the first try beside. None where both are zero: any number would.
pub fn tries_in_time(
    deadline: Duration,
    one_way: Duration,
    round_trip: Duration,
    reaction: Duration,
) -> Option<u32> {
    let each = round_trip.as_nanos() + reaction.as_nanos();
    let left = deadline.as_nanos().saturating_sub(one_way.as_nanos());
    left.checked_div(each).map(|tries| u32::try_from(tries).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Probability;

    #[test]
    fn tries_multiply_by_what_the_channel_remembers() {
        let channel = Channel::gilbert(Probability::new(0.1).unwrap(), 4.0).unwrap();
        let memory = 1.0 - 0.25 - 0.1 / 0.9 / 4.0_f64;
        let again = 0.1 + 0.9 * memory.powi(6);
        assert!((residual(&channel, 2, 6) / (0.1 * again * again) - 1.0).abs() < 1e-12);
        assert!((residual(&channel, 0, 6) - 0.1).abs() < 1e-15);
    }

    #[test]
    fn a_try_takes_a_round_trip_and_the_reaction() {
        let ms = Duration::from_millis;
        assert_eq!(tries_in_time(ms(100), ms(20), ms(40), ms(0)), Some(2));
        assert_eq!(tries_in_time(ms(100), ms(20), ms(40), ms(1)), Some(1));
        assert_eq!(tries_in_time(ms(10), ms(20), ms(40), ms(1)), Some(0));
        assert_eq!(tries_in_time(ms(10), ms(20), ms(0), ms(0)), None);
    }
}
