//! What a person can change while a run goes on, and in which steps.

use framehawk_sim::drive::message::Command;

/// The settings as they are by now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::cli) struct Knobs {
    /// The share of packets lost and the mean burst, where they are known: those of the scenario if its
    /// model has such, or those that were set.
    loss: Option<(f64, f64)>,
    /// Repair packets added to each block.
    repair: i32,
}

/// Which way a setting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Turn {
    MoreLoss,
    LessLoss,
    LongerBursts,
    ShorterBursts,
    MoreRepair,
    LessRepair,
    /// The losses of a key from `1` to `8`.
    Preset(char),
}

/// The losses of the keys `1` to `8`: the share and the mean burst. One by one first, then in bursts: the
/// same share in longer bursts is the harder one to repair.
const PRESETS: [(f64, f64); 8] =
    [(0.0, 1.0), (0.01, 1.0), (0.03, 1.0), (0.05, 1.0), (0.02, 4.0), (0.05, 4.0), (0.1, 8.0), (0.2, 16.0)];

/// The shares that are offered.
const SHARES: [f64; 14] = [0.0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5];
/// The mean bursts that are offered; at two packets every share above has a chain.
const BURSTS: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0];
/// How far repair can be turned.
const REPAIR_MOST: i32 = 20;

impl Knobs {
    /// The settings of a scenario whose losses have this share and mean burst, if they are known.
    pub(in crate::cli) const fn new(loss: Option<(f64, f64)>) -> Self {
        Self { loss, repair: 0 }
    }

    /// Turns a knob; what the trials are to be told, if anything changes.
    pub(in crate::cli) fn turn(&mut self, turn: Turn) -> Option<Command> {
        let before = *self;
        let (share, burst) = self.loss.unwrap_or((0.0, 1.0));
        match turn {
            Turn::MoreLoss => self.loss = Some((above(&SHARES, share), burst)),
            Turn::LessLoss => self.loss = Some((below(&SHARES, share), burst)),
            Turn::LongerBursts => self.loss = Some((share, above(&BURSTS, burst))),
            Turn::ShorterBursts => self.loss = Some((share, below(&BURSTS, burst))),
            Turn::MoreRepair => self.repair = (self.repair + 1).min(REPAIR_MOST),
            Turn::LessRepair => self.repair = (self.repair - 1).max(-REPAIR_MOST),
            Turn::Preset(key) => self.loss = preset(key).or(self.loss),
        }
        if *self == before {
            return None;
        }
        match (self.loss, turn) {
            (_, Turn::MoreRepair | Turn::LessRepair) => {
                Some(Command::Repair((self.repair - before.repair) as i8))
            }
            (Some((share, burst)), _) => Some(Command::Loss { share, burst }),
            (None, _) => None,
        }
    }

    /// The share of packets lost, in words.
    pub(in crate::cli) fn loss(&self) -> String {
        self.loss.map_or_else(|| "as is".to_owned(), |(share, _)| format!("{} %", plain(share * 100.0)))
    }

    /// The mean burst, in words.
    pub(in crate::cli) fn burst(&self) -> String {
        self.loss.map_or_else(|| "as is".to_owned(), |(_, burst)| plain(burst))
    }

    /// What was added to repair, in words.
    pub(in crate::cli) fn repair(&self) -> String {
        format!("{:+}", self.repair)
    }
}

/// The losses of this key, if it has any.
fn preset(key: char) -> Option<(f64, f64)> {
    let place = key.to_digit(10)?.checked_sub(1)?;
    PRESETS.get(place as usize).copied()
}

/// The first value above this one, or the last.
fn above(values: &[f64], value: f64) -> f64 {
    values.iter().copied().find(|&other| other > value + 1e-9).unwrap_or(values[values.len() - 1].max(value))
}

/// The last value below this one, or the first.
fn below(values: &[f64], value: f64) -> f64 {
    values.iter().copied().rev().find(|&other| other < value - 1e-9).unwrap_or(values[0].min(value))
}

/// At most one digit behind the point, and none where it says nothing.
fn plain(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_burst_go_in_steps_and_stop_at_their_ends() {
        let mut knobs = Knobs::new(Some((0.045, 4.8)));
        assert_eq!(knobs.turn(Turn::MoreLoss), Some(Command::Loss { share: 0.05, burst: 4.8 }));
        assert_eq!(knobs.turn(Turn::ShorterBursts), Some(Command::Loss { share: 0.05, burst: 4.0 }));
        assert_eq!((knobs.loss(), knobs.burst()), ("5 %".to_owned(), "4".to_owned()));
        while knobs.turn(Turn::LessLoss).is_some() {}
        while knobs.turn(Turn::LongerBursts).is_some() {}
        assert_eq!((knobs.loss(), knobs.burst()), ("0 %".to_owned(), "32".to_owned()));
        while knobs.turn(Turn::MoreLoss).is_some() {}
        assert_eq!(knobs.loss(), "50 %");
    }

    #[test]
    fn what_is_unknown_starts_at_nothing() {
        let mut knobs = Knobs::new(None);
        assert_eq!((knobs.loss(), knobs.repair()), ("as is".to_owned(), "+0".to_owned()));
        assert_eq!(knobs.turn(Turn::MoreLoss), Some(Command::Loss { share: 0.002, burst: 1.0 }));
        assert_eq!(knobs.turn(Turn::LessRepair), Some(Command::Repair(-1)));
        assert_eq!(knobs.repair(), "-1");
    }

    #[test]
    fn a_digit_sets_share_and_burst_at_once() {
        let mut knobs = Knobs::new(None);
        assert_eq!(knobs.turn(Turn::Preset('6')), Some(Command::Loss { share: 0.05, burst: 4.0 }));
        assert_eq!(knobs.turn(Turn::Preset('6')), None, "it is set already");
        assert_eq!((knobs.loss(), knobs.burst()), ("5 %".to_owned(), "4".to_owned()));
        for key in ['0', '9', 'x'] {
            assert_eq!(knobs.turn(Turn::Preset(key)), None);
        }
    }

    #[test]
    fn every_setting_is_one_that_a_chain_has() {
        use framehawk_sim::impair::loss::gilbert_elliott::GilbertElliott;
        use framehawk_sim::units::Probability;
        for share in SHARES {
            for burst in BURSTS.into_iter().filter(|&burst| burst > 1.0) {
                let share = Probability::new(share).unwrap();
                assert!(GilbertElliott::from_mean(share, burst).is_some(), "{share:?} in {burst}");
            }
        }
    }
}
