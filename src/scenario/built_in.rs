//! The scenarios that the program carries, so that it can show something anywhere.

/// A file that the program carries.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// The scenario's name, or the path of a file beside the scenarios.
    pub name: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// The scenarios, by name.
pub const SCENARIOS: &[BuiltIn] =
    &[BuiltIn { name: "lan-clean", text: include_str!("../../scenarios/lan-clean.toml") }];

/// The files that these scenarios name, by the path that they use.
pub const TRACES: &[BuiltIn] = &[BuiltIn {
    name: "traces/desktop-session-30fps.csv",
    text: include_str!("../../scenarios/traces/desktop-session-30fps.csv"),
}];

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
