//! How long a scenario's screens rest at the start of a run: while next to nothing is sent, every transport
//! shows the same, and whoever watches should know why.

use crate::endpoint::{Direction, Flow};
use crate::rng::Seed;
use crate::scenario::Scenario;
use crate::time::{Duration, Time};
use crate::units::ByteSize;

/// No more than the first minute is looked at.
const LOOKED_AT: u64 = 60;

/// A second is one of rest where less than this part of the mean is captured in it.
const REST_BELOW: f64 = 0.1;

/// How many whole seconds pass before the applications at the server have much to send, all sessions
/// together, of the first minute. It is a matter of scenario and seed alone: no transport has a say.
pub fn at_start(scenario: &Scenario, seed: u64) -> Duration {
    let seconds = (scenario.duration.as_nanos() / 1_000_000_000).clamp(1, LOOKED_AT);
    let mut bytes = vec![0_u64; seconds as usize];
    let Some(traffic) = scenario.traffic.get(Direction::Down) else { return Duration::ZERO };
    for session in 0..scenario.sessions {
        let mut workload = traffic.workload(Seed(seed), Flow(session), Direction::Down);
        while let Some(at) = workload.next_at().filter(|&at| at < Time::from_secs(seconds)) {
            if let Some(captured) = workload.capture(at, None, ByteSize::ZERO) {
                bytes[(at.as_nanos() / 1_000_000_000) as usize] += u64::from(captured.frame.size);
            }
        }
    }
    let mean = bytes.iter().sum::<u64>() as f64 / seconds as f64;
    let rest = bytes.iter().take_while(|&&bytes| (bytes as f64) < REST_BELOW * mean).count();
    Duration::from_secs(rest as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::source::Sources;
    use crate::scenario::{built_in, parse};

    fn scenario(sets: &[&str]) -> Scenario {
        let built_in = built_in::find(built_in::SCENARIOS, "cafe-wifi").unwrap();
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        Scenario::new(&parse(Sources::built_in("cafe-wifi", built_in.text), &sets).unwrap()).unwrap()
    }

    #[test]
    fn a_recording_rests_as_long_as_it_does_from_the_key_frame_that_the_seed_draws() {
        let scenario = scenario(&[]);
        let rests: Vec<u64> =
            (1..=20).map(|seed| at_start(&scenario, seed).as_nanos() / 1_000_000_000).collect();
        // From the key frame at 18.6 s there is work at once, from the one at 0 s not before 12 s.
        assert_eq!(rests.iter().min(), Some(&0), "{rests:?}");
        assert!(rests.iter().any(|&rest| (11..=13).contains(&rest)), "{rests:?}");
    }

    #[test]
    fn what_is_sent_evenly_or_not_at_all_has_no_rest() {
        let evenly = ["traffic.down.screen={constant={rate=\"30Hz\",size=\"5kB\"}}"];
        assert_eq!(at_start(&scenario(&evenly), 1), Duration::ZERO);
        assert_eq!(at_start(&scenario(&["traffic.down={}"]), 1), Duration::ZERO);
    }
}
