//! The scenarios that the program carries, so that it can show something anywhere.

/// A file that the program carries.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// The scenario's name, or the path of a file beside the scenarios.
    pub name: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// A scenario of this name, from the folder of scenarios.
macro_rules! scenario {
    ($name:literal) => {
        BuiltIn { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }
    };
}

/// A file of this name, from the folder of traces.
macro_rules! trace {
    ($name:literal) => {
        BuiltIn {
            name: concat!("traces/", $name),
            text: include_str!(concat!("../../scenarios/traces/", $name)),
        }
    };
}

/// The scenarios, from the easy to the hopeless.
pub const SCENARIOS: &[BuiltIn] = &[
    scenario!("lan-clean"),
    scenario!("bench"),
    scenario!("cafe-wifi"),
    scenario!("cafe-wifi-no-retries"),
    scenario!("home-microwave-oven"),
    scenario!("wifi-roam"),
    scenario!("train-lte"),
    scenario!("loss-steps"),
    scenario!("quic"),
    scenario!("busy-office"),
    scenario!("shared-droptail"),
    scenario!("shared-fq-codel"),
    scenario!("hotel-congested"),
    scenario!("satellite"),
    scenario!("framehawk-hell"),
];

/// The files that these scenarios name, by the path that they use.
pub const TRACES: &[BuiltIn] = &[trace!("desktop-session-30fps.csv"), trace!("train-lte.mahimahi")];

/// The one of `files` with this name.
pub fn find(files: &'static [BuiltIn], name: &str) -> Option<&'static BuiltIn> {
    files.iter().find(|file| file.name == name)
}

#[cfg(test)]
mod tests {
    use crate::scenario;
    use crate::scenario::source::Sources;

    use super::*;

    #[test]
    fn every_built_in_scenario_is_one() {
        for one in SCENARIOS {
            let sources = Sources::built_in(one.name, one.text);
            scenario::parse(sources, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        }
    }
}
