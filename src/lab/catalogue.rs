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

/// The names of all strategies, in the order of the text.
pub fn names() -> Vec<String> {
    entries().into_iter().map(|(name, _)| name).collect()
}

/// Every strategy with its table (`udp = { … }`), in the order of the text.
pub fn entries() -> Vec<(String, toml::Table)> {
    // The text is a constant, and a test reads it.
    let text: toml::Table = TEXT.parse().unwrap_or_default();
    let contenders = text.get("contender").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    contenders.into_iter().filter_map(|(name, entry)| Some((name, entry.as_table()?.clone()))).collect()
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
        let entries = entries();
        for (index, (name, entry)) in entries.iter().enumerate() {
            let twin = entries[..index].iter().find(|(_, other)| other == entry);
            assert!(twin.is_none(), "{name} is {twin:?}");
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
