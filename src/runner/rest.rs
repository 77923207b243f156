//! How long a scenario's screens rest at the start of a run: while next to nothing is sent, every transport
//! shows the same, and whoever watches should know why.

use crate::endpoint::{Direction, Flow};
use crate::rng::Seed;
use crate::scenario::Scenario;
use crate::time::{Duration, Time};
use crate::units::ByteSize;

/// How much of a session's traffic is looked at, in seconds.
const MINUTE: u64 = 60;

/// The rest is over when this part of what is sent in the minute has been sent: more than the single bursts
/// that interrupt a rest.
const REST_SENDS: f64 = 0.15;

/// How many whole seconds of the first minute pass before the applications at the server have sent anything
/// that counts, all sessions together; 9 s where they send evenly. It is a matter of scenario and seed alone:
/// no transport has a say, and the run may be over sooner.
pub fn at_start(scenario: &Scenario, seed: u64) -> Duration {
    let Some(traffic) = scenario.traffic.get(Direction::Down) else { return Duration::ZERO };
    let mut bytes = [0_u64; MINUTE as usize];
    for session in 0..scenario.sessions {
        let mut workload = traffic.workload(Seed(seed), Flow(session), Direction::Down);
        while let Some(at) = workload.next_at().filter(|&at| at < Time::from_secs(MINUTE)) {
            if let Some(captured) = workload.capture(at, None, ByteSize::ZERO) {
                bytes[(at.as_nanos() / 1_000_000_000) as usize] += u64::from(captured.frame.size);
            }
        }
    }
    let enough = REST_SENDS * bytes.iter().sum::<u64>() as f64;
    let mut sent = 0;
    let rest = bytes.iter().take_while(|&&bytes| {
        sent += bytes;
        (sent as f64) < enough
    });
    Duration::from_secs(rest.count() as u64)
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
        // From the key frame at 18.6 s on there is work at once. From the one at 38 s on there are bursts of two
        // seconds, until the recording begins again after 37 s and its person scrolls 16 s later.
        assert!(rests.iter().any(|&rest| rest <= 2) && rests.iter().any(|&rest| rest > 37), "{rests:?}");
    }

    #[test]
    fn what_is_sent_evenly_or_not_at_all_has_no_long_rest() {
        let evenly = ["traffic.down.screen={constant={rate=\"30Hz\",size=\"5kB\"}}"];
        assert!(at_start(&scenario(&evenly), 1) <= Duration::from_secs(9));
        assert_eq!(at_start(&scenario(&["traffic.down={}"]), 1), Duration::ZERO);
    }
}
