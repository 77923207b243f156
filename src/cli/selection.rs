//! Which scenario and which seeds a person means.

use std::fs;
use std::path::{Path, PathBuf};

use framehawk_sim::scenario::problem::{Problem, Problems};
use framehawk_sim::scenario::source::Sources;
use framehawk_sim::scenario::{Draft, built_in, nearest, parse};

/// Where scenarios are looked for by their name, beside those that are built in.
const FOLDER: &str = "scenarios";

/// More seeds than anybody waits for.
const SEEDS_MAX: u64 = 100_000;

/// A scenario on the command line.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Selection {
    /// A path; or a name: of a file in ./scenarios, or of a scenario that is built in
    pub(super) scenario: String,
    /// Sets any key of the scenario by its dotted path, before it is read; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) sets: Vec<String>,
}

impl Selection {
    /// Reads and checks the scenario.
    pub(super) fn draft(&self) -> Result<Draft, Problems> {
        parse(find(&self.scenario)?, &self.sets)
    }
}

/// The scenario that `word` means: the file of this path, or else ./scenarios/NAME.toml, or else the one
/// that is built in.
pub(super) fn find(word: &str) -> Result<Sources, Problems> {
    let path = Path::new(word);
    let looks_like_path = path.components().count() > 1 || path.extension().is_some_and(|end| end == "toml");
    if looks_like_path || path.is_file() {
        return Sources::read(path);
    }
    let in_folder = Path::new(FOLDER).join(format!("{word}.toml"));
    if in_folder.is_file() {
        return Sources::read(&in_folder);
    }
    if let Some(scenario) = built_in::find(built_in::SCENARIOS, word) {
        return Ok(Sources::built_in(scenario.name, scenario.text));
    }
    if path.exists() {
        return Sources::read(path);
    }
    let names = names();
    let known = names.iter().map(|(name, _)| name.as_str());
    let problem = Problem::of_no_text(format!("unknown scenario `{word}`"));
    let problem = match nearest(word, known) {
        Some(name) => problem.help(format!("did you mean `{name}`?")),
        None => problem,
    };
    let help = "`fhsim scenario list` lists them; a path to a file ends with `.toml`";
    Err(Problems::new(Sources::default(), vec![problem.help(help)]))
}

/// The names of all scenarios, with their paths where they are files; sorted.
pub(super) fn names() -> Vec<(String, Option<PathBuf>)> {
    let mut names: Vec<(String, Option<PathBuf>)> = Vec::new();
    // Without the folder there are only those that are built in.
    for entry in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "toml")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
        {
            names.push((name.to_owned(), Some(path.clone())));
        }
    }
    for scenario in built_in::SCENARIOS {
        if names.iter().all(|(name, _)| name != scenario.name) {
            names.push((scenario.name.to_owned(), None));
        }
    }
    names.sort();
    names
}

/// The seeds `A..B`, both included.
pub(super) fn seed_range(text: &str) -> Result<(u64, u64), String> {
    let ends = text.split_once("..").and_then(|(first, last)| {
        Some((first.trim().parse().ok()?, last.trim().trim_start_matches('=').parse().ok()?))
    });
    match ends {
        None => Err("write the first and the last seed: 1..20".to_owned()),
        Some((first, last)) if first > last => Err("the first seed is above the last".to_owned()),
        Some((first, last)) if last - first >= SEEDS_MAX => Err(format!("at most {SEEDS_MAX} seeds")),
        Some(ends) => Ok(ends),
    }
}

/// How many seeds, or from which to which: `20` is `1..20`.
pub(super) fn seeds(text: &str) -> Result<(u64, u64), String> {
    match text.trim().parse::<u64>() {
        Ok(0) => Err("at least one seed is needed".to_owned()),
        Ok(count) => seed_range(&format!("1..{count}")),
        Err(_) => seed_range(text).map_err(|error| format!("{error}; or how many: 20")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(seeds("20"), Ok((1, 20)));
        assert_eq!(seeds("5..9"), Ok((5, 9)));
        for wrong in ["0", "x", "", "9..5", "100001"] {
            assert!(seeds(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_range_of_seeds_has_both_ends() {
        assert_eq!(seed_range("1..20"), Ok((1, 20)));
        assert_eq!(seed_range("7..7"), Ok((7, 7)));
        assert_eq!(seed_range(&format!("{0}..{0}", u64::MAX)), Ok((u64::MAX, u64::MAX)));
        for wrong in
            ["", "7", "2..1", "a..b", "1..", "..", "-1..2", "0..100000000", "1..99999999999999999999"]
        {
            assert!(seed_range(wrong).is_err(), "{wrong:?}");
        }
    }
}
