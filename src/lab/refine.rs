//! The neighborhood of a strategy: the same code with one parameter changed, or with and without
//! retransmission.
//!
//! It works on the written form and knows no code, so that every code is refined that a scenario can
//! name: each whole number of its `fec` table goes one step up or down. What is no code then is for the
//! scenario's checks to refuse.

use toml::{Table, Value};

use super::catalogue::Strategy;

/// By how much a parameter changes in one step: a few steps cross the range, and two of them end near
/// the best.
const FACTORS: [f64; 4] = [0.5, 0.75, 1.5, 2.0];

/// The prefixes of the names of codes with retransmission: of packets, and by fresh repair packets.
const ARQ: &str = "arq-";
const ARQ_2: &str = "arq2-";

/// What is one step away from `strategy`; none of it is equal to it or to each other.
pub fn neighbors(strategy: &Strategy) -> Vec<Strategy> {
    let mut found: Vec<Strategy> = Vec::new();
    let parameters = parameters(&strategy.table).len();
    let steps = (0..parameters).flat_map(|index| FACTORS.map(|factor| (index, factor)));
    let stepped = steps.map(|(index, factor)| with_step(strategy, index, factor));
    for one in stepped.chain(with_other_retransmission(strategy)) {
        if one.table != strategy.table && found.iter().all(|other| other.table != one.table) {
            found.push(one);
        }
    }
    found
}

/// The keys of a strategy without its numbers, and its words: what members of a family have in common.
pub fn shape(strategy: &Strategy) -> Vec<String> {
    let mut table = strategy.table.clone();
    parameters_mut(&mut table).into_iter().for_each(|number| *number = 0);
    let mut leaves = leaves("", &Value::Table(table));
    leaves.sort();
    leaves
}

/// The values of a tree, each with its path.
fn leaves(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Table(table) => {
            table.iter().flat_map(|(key, inner)| leaves(&format!("{path}.{key}"), inner)).collect()
        }
        _ => vec![format!("{path} = {value}")],
    }
}

/// With the parameter `index` times `factor`.
fn with_step(strategy: &Strategy, index: usize, factor: f64) -> Strategy {
    let mut table = strategy.table.clone();
    if let Some(number) = parameters_mut(&mut table).into_iter().nth(index) {
        let stepped = libm::round(*number as f64 * factor) as i64;
        // Small numbers move by one at least.
        *number = if factor > 1.0 { stepped.max(*number + 1) } else { stepped };
    }
    Strategy { name: name(&strategy.name, &table), table }
}

/// The code with retransmission where it has none, and without where it has; none where there is no
/// code.
fn with_other_retransmission(strategy: &Strategy) -> Option<Strategy> {
    let mut table = strategy.table.clone();
    let udp = table.get_mut("udp").and_then(Value::as_table_mut)?;
    if !udp.get("fec").is_some_and(Value::is_table) {
        return None;
    }
    let retransmits = udp.get("retransmit").is_some_and(|value| value.as_str() != Some("never"));
    let name = if retransmits {
        udp.remove("retransmit");
        udp.remove("answer");
        without_retransmission(&strategy.name)
    } else {
        udp.insert("retransmit".to_owned(), Value::from("deadline"));
        format!("{ARQ}{}", strategy.name)
    };
    Some(Strategy { name, table })
}

fn without_retransmission(name: &str) -> String {
    let code = name.strip_prefix(ARQ).or_else(|| name.strip_prefix(ARQ_2));
    code.map_or_else(|| format!("{name}-alone"), str::to_owned)
}

/// The family's part of a name with the numbers of the table: `rs-10-3` becomes `rs-15-3`.
fn name(old: &str, table: &Table) -> String {
    let is_number = |word: &&str| word.chars().all(|c| c.is_ascii_digit() || matches!(c, 'x' | '_'));
    let mut words: Vec<&str> = old.split('-').collect();
    while words.last().is_some_and(is_number) {
        words.pop();
    }
    let numbers = parameters(table).into_iter().map(|number| number.to_string());
    words.into_iter().map(str::to_owned).chain(numbers).collect::<Vec<_>>().join("-")
}

/// The whole numbers of the code, in the order in which they are written.
fn parameters(table: &Table) -> Vec<i64> {
    parameters_mut(&mut table.clone()).into_iter().map(|number| *number).collect()
}

fn parameters_mut(table: &mut Table) -> Vec<&mut i64> {
    let code = table.get_mut("udp").and_then(Value::as_table_mut).and_then(|udp| udp.get_mut("fec"));
    code.map_or_else(Vec::new, numbers)
}

fn numbers(value: &mut Value) -> Vec<&mut i64> {
    match value {
        Value::Integer(number) => vec![number],
        Value::Table(table) => table.iter_mut().flat_map(|(_, inner)| numbers(inner)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::catalogue;

    fn strategy(name: &str) -> Strategy {
        catalogue::strategies().into_iter().find(|one| one.name == name).unwrap()
    }

    #[test]
    fn each_parameter_goes_up_and_down_alone() {
        let found = neighbors(&strategy("rs-10-3"));
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            ["rs-5-3", "rs-8-3", "rs-15-3", "rs-20-3", "rs-10-2", "rs-10-5", "rs-10-6", "arq-rs-10-3"]
        );
        assert!(found[7].to_text().contains("retransmit = \"deadline\""), "{}", found[7].to_text());
    }

    #[test]
    fn small_parameters_move_and_what_has_none_has_no_neighbors() {
        let found = neighbors(&strategy("repeat"));
        assert!(found.iter().any(|one| one.name == "repeat-2"), "{found:?}");
        assert!(neighbors(&strategy("none")).is_empty() && neighbors(&strategy("retransmit")).is_empty());
    }

    #[test]
    fn digits_in_a_family_name_stay() {
        let found = neighbors(&strategy("xor-2d-10-5"));
        assert!(found.iter().any(|one| one.name == "xor-2d-5-5"), "{found:?}");
        assert!(neighbors(&strategy("xor-10x5")).iter().any(|one| one.name == "xor-5-20"));
    }

    #[test]
    fn retransmission_comes_and_goes() {
        let with = strategy("arq-rs-frame-20");
        let without = neighbors(&with).pop().unwrap();
        assert_eq!(without, strategy("rs-frame-20"));
        assert_eq!(neighbors(&strategy("arq2-rs-frame-20")).pop().unwrap(), without);
        assert_eq!(neighbors(&strategy("adaptive")).pop().unwrap().name, "adaptive-alone");
    }

    #[test]
    fn a_family_has_one_shape_whatever_its_numbers() {
        assert_eq!(shape(&strategy("rs-10-3")), shape(&strategy("rs-20-4")));
        assert_ne!(shape(&strategy("rs-frame-20")), shape(&strategy("arq-rs-frame-20")));
        assert_ne!(shape(&strategy("none")), shape(&strategy("retransmit")));
        let with = neighbors(&strategy("rs-frame-20")).pop().unwrap();
        assert_eq!(shape(&with), shape(&strategy("arq-rs-frame-10")));
    }
}
