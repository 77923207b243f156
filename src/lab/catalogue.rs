//! The strategies by name: a text in the words of scenarios, so that a new one is one more entry.

use crate::scenario::nearest;

/// What errors call the text.
pub const NAME: &str = "strategies.toml";

/// The strategies, as `[contender.NAME]` tables with the words of scenarios.
pub const TEXT: &str = include_str!("strategies.toml");

/// The word for all of them.
const ALL: &str = "all";

/// A word that is no strategy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy `{word}`{}\nknown are {} and {ALL}", hint(.nearest), known.join(", "))]
pub struct Unknown {
    /// The word.
    pub word: String,
    /// The known name that it is most like.
    pub nearest: Option<String>,
    /// All known names.
    pub known: Vec<String>,
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// A strategy as a scenario writes a contender.
#[derive(Clone, Debug, PartialEq)]
pub struct Strategy {
    /// Its name.
    pub name: String,
    /// What is in its table: `udp = { … }`.
    pub table: toml::Table,
}

impl Strategy {
    /// The strategy as a `[contender.NAME]` table, to be put into a scenario.
    pub fn to_text(&self) -> String {
        let entries = self.table.iter().map(|(key, value)| {
            let inside = value.as_table().map_or_else(|| value.to_string(), inline);
            format!("{key} = {inside}\n")
        });
        format!("[contender.{}]\n{}", self.name, entries.collect::<String>())
    }
}

/// A table in one line, as people write it: `{ fec.xor.source = 10, rate = "fixed" }`.
fn inline(table: &toml::Table) -> String {
    let entry = |(key, value): (&String, &toml::Value)| {
        let (mut path, mut value) = (key.clone(), value);
        while let Some((inner, only)) = only_entry(value) {
            path = format!("{path}.{inner}");
            value = only;
        }
        let inside = value.as_table().map_or_else(|| value.to_string(), inline);
        format!("{path} = {inside}")
    };
    let entries: Vec<String> = table.iter().map(entry).collect();
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
}

/// What a table with a single entry has in it.
fn only_entry(value: &toml::Value) -> Option<(&String, &toml::Value)> {
    value.as_table().filter(|table| table.len() == 1)?.iter().next()
}

/// All strategies, in the order of the text.
pub fn strategies() -> Vec<Strategy> {
    // The text is a constant, and a test reads it.
    let text: toml::Table = TEXT.parse().unwrap_or_default();
    let contenders = text.get("contender").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let strategy =
        |(name, entry): (String, toml::Value)| Some(Strategy { name, table: entry.as_table()?.clone() });
    contenders.into_iter().filter_map(strategy).collect()
}

/// The names of all strategies, in the order of the text.
pub fn names() -> Vec<String> {
    strategies().into_iter().map(|strategy| strategy.name).collect()
}

/// The strategies that `words` name, each once: one of the catalogue, one of a scenario's `own`
/// contenders, or `all` for the whole catalogue.
///
/// # Errors
/// The first word that is none of these.
pub fn choose(words: &[String], own: &[String]) -> Result<Vec<String>, Unknown> {
    let listed = names();
    let mut chosen: Vec<String> = Vec::new();
    for word in words {
        let named: &[String] = match word.as_str() {
            ALL => &listed,
            _ if listed.contains(word) || own.contains(word) => std::slice::from_ref(word),
            _ => return Err(unknown(word, &listed, own)),
        };
        for name in named {
            if !chosen.contains(name) {
                chosen.push(name.clone());
            }
        }
    }
    Ok(chosen)
}

fn unknown(word: &str, listed: &[String], own: &[String]) -> Unknown {
    let known: Vec<String> = listed.iter().chain(own).cloned().collect();
    let nearest = nearest(word, known.iter().map(String::as_str).chain([ALL])).map(str::to_owned);
    Unknown { word: word.to_owned(), nearest, known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::source::Sources;
    use crate::scenario::{self, Lineup, Scenario, built_in};

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn every_strategy_is_one_that_scenarios_can_have() {
        let names = names();
        assert!(names.len() >= 18 && names[0] == "none" && names[1] == "retransmit", "{names:?}");
        let base = built_in::find(built_in::SCENARIOS, "bench").unwrap();
        let lineup = Lineup { name: NAME, text: TEXT, chosen: &names };
        let draft = scenario::parse_lineup(Sources::built_in(base.name, base.text), &[], &lineup)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let scenario = Scenario::new(&draft).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(scenario.contenders.len(), names.len());
    }

    #[test]
    fn no_two_strategies_are_the_same() {
        let all = strategies();
        for (index, one) in all.iter().enumerate() {
            let twin = all[..index].iter().find(|other| other.table == one.table);
            assert!(twin.is_none(), "{one:?} is {twin:?}");
        }
    }

    #[test]
    fn a_strategy_as_text_reads_back_as_itself() {
        for strategy in strategies() {
            let text = strategy.to_text();
            let again: toml::Table = text.parse().unwrap();
            assert_eq!(again["contender"][&strategy.name].as_table(), Some(&strategy.table), "{text}");
        }
    }

    #[test]
    fn words_name_strategies_once_in_their_order() {
        let own = words(&["tcp-bbr"]);
        assert_eq!(choose(&words(&["rs-10-3", "none", "rs-10-3"]), &own).unwrap(), ["rs-10-3", "none"]);
        assert_eq!(choose(&words(&["none", "all"]), &own).unwrap(), names());
        assert_eq!(choose(&words(&["tcp-bbr"]), &own).unwrap(), ["tcp-bbr"]);
    }

    #[test]
    fn an_unknown_word_gets_the_nearest_name() {
        let error = choose(&words(&["none", "rs-10-4"]), &[]).unwrap_err();
        assert_eq!((error.word.as_str(), error.nearest.as_deref()), ("rs-10-4", Some("rs-10-3")));
        let text = error.to_string();
        assert!(
            text.starts_with("unknown strategy `rs-10-4`; did you mean `rs-10-3`?\nknown are none, "),
            "{text}"
        );
    }
}
