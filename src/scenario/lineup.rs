//! Other contenders in the place of a scenario's own: what a laboratory compares on its path.
//!
//! They come from a text of their own, which is put into the tree before the overrides, so that the same
//! checks and the same errors meet them, and `--set` reaches them.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, list};
use super::source::Sources;

/// Contenders from another text.
#[derive(Clone, Copy, Debug)]
pub struct Lineup<'a> {
    /// What errors call the text.
    pub name: &'a str,
    /// `[contender.NAME]` tables, and nothing else.
    pub text: &'a str,
    /// Who takes part, in this order: from the text, or else from the scenario itself.
    pub chosen: &'a [String],
}

impl Lineup<'_> {
    /// The text, so far behind blank lines as it stands in the sources, to which it is added.
    pub(super) fn placed(&self, sources: &mut Sources) -> String {
        let start = sources.add(self.name, self.text);
        format!("{}{}", "\n".repeat(start), self.text)
    }

    /// Puts the chosen contenders of `placed` in the place of those of the scenario. What the scenario
    /// expects is about contenders that are gone, and goes with them.
    pub(super) fn apply<'a>(&self, scenario: &mut DeTable<'a>, placed: &'a str) -> Result<(), Problem> {
        let text = DeTable::parse(placed)
            .map_err(|error| Problem::at(error.span().unwrap_or(0..0), error.message()))?;
        let (others, own) = (contenders(text.get_ref()), contenders(scenario));
        let mut chosen = DeTable::new();
        for name in self.chosen.iter().map(String::as_str) {
            let Some((key, contender)) = others.get_key_value(name).or_else(|| own.get_key_value(name))
            else {
                let known: Vec<&str> =
                    others.keys().chain(own.keys()).map(|key| key.get_ref().as_ref()).collect();
                let problem = Problem::of_no_text(format!("there is no contender `{name}`"));
                return Err(problem.help(format!("known here are {}", list(&known))));
            };
            chosen.insert(key.clone(), contender.clone());
        }
        scenario.remove("expect");
        scenario.insert(Spanned::new(0..0, "contender".into()), Spanned::new(0..0, DeValue::Table(chosen)));
        Ok(())
    }
}

/// The contenders of a tree.
fn contenders<'a>(tree: &DeTable<'a>) -> DeTable<'a> {
    match tree.get("contender").map(Spanned::get_ref) {
        Some(DeValue::Table(table)) => table.clone(),
        _ => DeTable::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{self, Draft, built_in, problem::Problems};

    const TEXT: &str = "[contender.bare]\nudp = {}\n[contender.twice]\nudp = { fec.repeat.copies = 1 }\n";

    fn read(text: &str, chosen: &[&str], sets: &[&str]) -> Result<Draft, Problems> {
        let base = built_in::find(built_in::SCENARIOS, "cafe-wifi").unwrap();
        let [chosen, sets] =
            [chosen, sets].map(|words| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        let lineup = Lineup { name: "others.toml", text, chosen: &chosen };
        scenario::parse_lineup(Sources::built_in(base.name, base.text), &sets, &lineup)
    }

    #[test]
    fn the_chosen_ones_take_the_place_of_the_scenarios_own_in_their_order() {
        let draft = read(TEXT, &["twice", "tcp-bbr", "bare"], &["contender.bare.udp.rate=fixed"]).unwrap();
        assert_eq!(draft.file.contender.names().collect::<Vec<_>>(), ["twice", "tcp-bbr", "bare"]);
        assert!(draft.file.expect.rules.is_empty());
    }

    #[test]
    fn an_error_points_into_the_text_that_it_is_in() {
        let wrong = TEXT.replace("copies = 1", "copys = 1");
        let drawn = read(&wrong, &["twice"], &[]).unwrap_err().draw(false);
        assert!(drawn.contains("unknown key `copys`") && drawn.contains("others.toml:4:"), "{drawn}");
    }

    #[test]
    fn a_name_that_nobody_has_is_an_error() {
        let drawn = read(TEXT, &["thrice"], &[]).unwrap_err().draw(false);
        assert!(drawn.contains("there is no contender `thrice`") && drawn.contains("`tcp-cubic`"), "{drawn}");
    }
}
