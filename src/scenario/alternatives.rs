//! Which keys exclude each other: the models of a stage, the parameters of a model.
//!
//! Kept apart from the types, because two of them need it on the untyped tree: an override of one
//! alternative takes the others out, and a file with two of them is refused at the second one.

use std::mem;

use toml::de::{DeTable, DeValue};

use super::problem::{Problem, list};

/// The tables of which exactly one alternative must be there, with the keys of each alternative. `*`
/// stands for any name.
const TABLES: &[(&[&str], &[&[&str]])] = &[
    (&["traffic", "*", "*"], APPLICATIONS),
    (&["neighbour", "*", "traffic"], APPLICATIONS),
    (&["neighbour", "*"], TRANSPORTS),
    (&["contender", "*"], TRANSPORTS),
    (&["*", "*", "udp", "fec"], CODES),
    (&["*", "*", "udp", "fec", "reed-solomon"], BLOCKS),
    (&["*", "*", "udp", "fec", "raptorq"], FOUNTAIN),
    (&["*", "*", "udp", "fec", "unequal", "*"], CODES),
    (&["*", "*", "udp", "fec", "unequal", "*", "reed-solomon"], BLOCKS),
    (&["*", "*", "udp", "fec", "unequal", "*", "raptorq"], FOUNTAIN),
    (&["*", "*", "udp", "fec", "rlc"], RATES),
    (&["*", "*", "udp", "fec", "unequal", "*", "rlc"], RATES),
    (&["channel", "*"], &[&["two-state"], &["periodic"], &["scheduled"]]),
    (&["path", "*", "jitter"], &[&["uniform"], &["normal"], &["pareto"], &["gamma"]]),
    (&["path", "*", "loss"], &[&["iid"], &["gilbert"], &["gilbert-elliott"], &["channel"], &["trace"]]),
    (&["path", "*", "loss", "gilbert"], CHAINS),
    (&["path", "*", "loss", "gilbert-elliott"], CHAINS),
    (&["path", "*", "bottleneck"], &[&["rate"], &["trace"]]),
    (&["path", "*", "bottleneck", "queue"], &[&["droptail"], &["codel"], &["pie"], &["fq-codel"]]),
    (&["path", "*", "outage"], &[&["at", "for", "every"], &["random"], &["channel"]]),
];

/// The first alternatives of the tables in which nothing else may be.
const CHOICES: &[&str] = &["none", "two-state", "uniform", "iid", "droptail"];

const APPLICATIONS: &[&[&str]] = &[&["trace"], &["constant"], &["desktop"], &["keystrokes"], &["bulk"]];
const TRANSPORTS: &[&[&str]] = &[&["tcp"], &["udp"], &["quic"]];
const CODES: &[&[&str]] = &[
    &["none"],
    &["repeat"],
    &["xor"],
    &["xor-2d"],
    &["reed-solomon"],
    &["red"],
    &["raptorq"],
    &["webrtc"],
    &["loss-tolerant"],
    &["rlc"],
    &["streaming"],
    &["unequal"],
    &["adaptive"],
];
const RATES: &[&[&str]] = &[&["step"], &["code-rate"]];
const BLOCKS: &[&[&str]] = &[&["source", "repair", "flush", "interleave", "partial"], &["per-frame"]];
const FOUNTAIN: &[&[&str]] = &[&["source", "repair", "flush"], &["per-frame"]];
const CHAINS: &[&[&str]] = &[&["p", "r"], &["loss", "burst"]];

/// The alternatives of the table at `path`; none where it has no such keys.
pub(super) fn of(path: &[&str]) -> Option<&'static [&'static [&'static str]]> {
    let fits = |pattern: &[&str]| {
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(wanted, key)| *wanted == "*" || wanted == key)
    };
    TABLES.iter().find(|(pattern, _)| fits(pattern)).map(|&(_, alternatives)| alternatives)
}

/// Takes out of `table`, which is at `path`, what cannot be beside `key`.
pub(super) fn make_room(table: &mut DeTable<'_>, path: &[&str], key: &str) {
    let Some(alternatives) = of(path).filter(|all| all.iter().any(|one| one.contains(&key))) else {
        return;
    };
    let rivals = |name: &str| alternatives.iter().any(|one| one.contains(&name) && !one.contains(&key));
    *table = mem::take(table).into_iter().filter(|(name, _)| !rivals(name.get_ref())).collect();
}

/// The keys that exclude one before them, each taken out of the tree.
pub(super) fn take_clashes(root: &mut DeTable<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for_each_table(root, &mut Vec::new(), &mut |table, alternatives| {
        let of_key = |key: &str| alternatives.iter().position(|one| one.contains(&key));
        let Some((first, kept)) =
            table.keys().find_map(|key| Some((key.get_ref().clone(), of_key(key.get_ref())?)))
        else {
            return;
        };
        let firsts: Vec<&str> = alternatives.iter().map(|one| one[0]).collect();
        let choice = CHOICES.contains(&firsts[0]);
        let (clashes, fits): (Vec<_>, Vec<_>) = mem::take(table)
            .into_iter()
            .partition(|(key, _)| of_key(key.get_ref()).map_or(choice, |alternative| alternative != kept));
        *table = fits.into_iter().collect();
        problems.extend(clashes.iter().map(|(key, _)| {
            let word = key.get_ref();
            if of_key(word).is_none() {
                return Problem::unknown(key.span(), "choice", word, &firsts);
            }
            let title = format!("`{word}` and `{first}` exclude each other");
            Problem::at(key.span(), title).label(format!("`{first}` is already there"))
        }));
    });
    problems
}

/// The tables in which no alternative is there.
pub(super) fn missing(root: &mut DeTable<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for_each_place(root, &mut Vec::new(), &mut |value, span, alternatives| {
        let DeValue::Table(table) = value else { return };
        if !table.keys().any(|key| alternatives.iter().any(|one| one.contains(&key.get_ref().as_ref()))) {
            let firsts: Vec<&str> = alternatives.iter().map(|one| one[0]).collect();
            problems.push(
                Problem::at(span, format!("one of {} is missing", list(&firsts)))
                    .label("exactly one is needed here"),
            );
        }
    });
    problems
}

fn for_each_table(
    table: &mut DeTable<'_>,
    path: &mut Vec<String>,
    act: &mut impl FnMut(&mut DeTable<'_>, &'static [&'static [&'static str]]),
) {
    for_each_place(table, path, &mut |value, _, alternatives| {
        if let DeValue::Table(table) = value {
            act(table, alternatives);
        }
    });
}

/// Calls `act` with every value at a place that has alternatives, with where it was written.
fn for_each_place(
    table: &mut DeTable<'_>,
    path: &mut Vec<String>,
    act: &mut impl FnMut(&mut DeValue<'_>, std::ops::Range<usize>, &'static [&'static [&'static str]]),
) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        if let Some(alternatives) = of(&names) {
            let span = value.span();
            act(value.get_mut(), span, alternatives);
        }
        if let DeValue::Table(inner) = value.get_mut() {
            for_each_place(inner, path, act);
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::file::ScenarioFile;

    #[test]
    fn the_table_names_the_alternatives_of_a_place() {
        assert_eq!(of(&["path", "down", "bottleneck"]), Some(&[&["rate"][..], &["trace"]][..]));
        assert_eq!(of(&["path", "down"]), None);
        assert!(of(&["neighbour", "download", "udp", "fec"]).is_some());
    }

    #[test]
    fn setting_one_alternative_takes_out_the_others_only() {
        let mut tree = DeTable::parse("at = 1\nfor = 2\nmode = 3\nchannel = 4").unwrap().into_inner();
        make_room(&mut tree, &["path", "up", "outage"], "channel");
        let keys: Vec<_> = tree.keys().map(|key| key.get_ref().to_string()).collect();
        assert_eq!(keys, ["mode", "channel"]);
    }

    #[test]
    fn the_alternatives_are_the_variants_of_the_types() {
        let schema = serde_json::to_value(schemars::schema_for!(ScenarioFile)).unwrap();
        for (name, path) in [
            ("Channel", &["channel", "x"][..]),
            ("Contender", &["contender", "x"]),
            ("Fec", &["contender", "x", "udp", "fec"]),
            ("Jitter", &["path", "up", "jitter"]),
            ("Loss", &["path", "up", "loss"]),
        ] {
            let variants = schema["$defs"][name]["oneOf"].as_array().unwrap();
            let keys = variants.iter().map(|variant| match &variant["const"] {
                serde_json::Value::String(word) => word.as_str(),
                _ => variant["required"][0].as_str().unwrap(),
            });
            let listed: Vec<&str> = of(path).unwrap().iter().map(|one| one[0]).collect();
            assert_eq!(keys.collect::<Vec<_>>(), listed, "{name}");
        }
    }
}
