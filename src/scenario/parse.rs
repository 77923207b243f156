//! From texts to a typed scenario, with everything that is wrong at once.
//!
//! Typing stops at the first value that does not fit. That value is then taken out of the tree and the
//! rest is typed again, so that a person sees all problems of the file in one go. Nothing is built from
//! a tree with something taken out. Trees that are nested too deep are refused by the TOML parser.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::alternatives;
use super::check;
use super::file::ScenarioFile;
use super::lineup::Lineup;
use super::nearest::nearest;
use super::overrides::Override;
use super::problem::{Problem, Problems};
use super::source::Sources;

/// A scenario that has been read and checked.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Every key of it, with the overrides and the defaults.
    pub file: ScenarioFile,
    /// The texts that it came from, to point at.
    pub sources: Sources,
    /// The scenario's own text as a tree, before the overrides and without defaults.
    pub supplied: toml::Table,
}

/// Reads the scenario in `sources` with the overrides `sets` (each `KEY=VALUE`) on top of it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(sources: Sources, sets: &[String]) -> Result<Draft, Problems> {
    read(sources, sets, None)
}

/// As [`parse`], with other contenders in the place of the scenario's own.
///
/// # Errors
/// Everything that is wrong with it, or with them.
pub fn parse_lineup(sources: Sources, sets: &[String], lineup: &Lineup<'_>) -> Result<Draft, Problems> {
    read(sources, sets, Some(lineup))
}

fn read(mut sources: Sources, sets: &[String], lineup: Option<&Lineup<'_>>) -> Result<Draft, Problems> {
    let text = sources.scenario().to_owned();
    let others = lineup.map(|lineup| (lineup, lineup.placed(&mut sources)));
    let mut problems = Vec::new();
    let mut overrides = Vec::new();
    for (index, argument) in sets.iter().enumerate() {
        match Override::new(&mut sources, index + 1, argument) {
            Ok(one) => overrides.push(one),
            Err(problem) => problems.push(problem),
        }
    }
    let (mut tree, errors) = DeTable::parse_recoverable(&text);
    problems.extend(errors.iter().map(syntax));
    if !problems.is_empty() {
        return Err(Problems::new(sources, problems));
    }
    let supplied = toml::Table::deserialize(Deserializer::from(tree.clone()))
        .map_err(|error| Problems::new(sources.clone(), vec![syntax(&error)]))?;
    if let Some((lineup, placed)) = &others {
        problems.extend(lineup.apply(tree.get_mut(), placed).err());
    }
    for one in &overrides {
        problems.extend(one.apply(tree.get_mut()).err());
    }
    problems.extend(alternatives::take_clashes(tree.get_mut()));
    let file = typed(&mut tree, &sources, &mut problems);
    if problems.is_empty() {
        problems.extend(alternatives::missing(tree.get_mut()));
    }
    match file {
        Some(file) if problems.is_empty() => {
            let problems = check::check(&file, &sources);
            if problems.is_empty() {
                Ok(Draft { file, sources, supplied })
            } else {
                Err(Problems::new(sources, problems))
            }
        }
        _ => Err(Problems::new(sources, problems)),
    }
}

/// The scenario of the tree, or the reasons why it is none.
fn typed(
    tree: &mut Spanned<DeTable<'_>>,
    sources: &Sources,
    problems: &mut Vec<Problem>,
) -> Option<ScenarioFile> {
    let mut taken: Vec<Taken> = Vec::new();
    for _ in 0..Problems::MAX * 4 {
        let error = match ScenarioFile::deserialize(Deserializer::from(tree.clone())) {
            Ok(file) => return Some(file),
            Err(error) => error,
        };
        let span = error.span()?;
        if !taken.iter().any(|taken| taken.explains(&span, error.message())) {
            problems.push(translate(&error, sources));
        }
        let whole = tree.span();
        match take(tree.get_mut(), &whole, &span) {
            Some(one) if problems.len() < Problems::MAX => taken.push(one),
            _ => break,
        }
    }
    None
}

/// A key that was taken out of the tree, because it or its value does not fit.
struct Taken {
    key: String,
    /// Where the table stands that it was in.
    table: Range<usize>,
}

impl Taken {
    /// Whether the table now lacks something only because this key was taken out of it.
    fn explains(&self, span: &Range<usize>, message: &str) -> bool {
        self.table == *span
            && missing_key(message).is_none_or(|key| key == self.key || nearest(&self.key, [key]).is_some())
    }
}

/// Takes out what stands at `span` in `table`, which stands at `place`; none where there is nothing.
fn take(table: &mut DeTable<'_>, place: &Range<usize>, span: &Range<usize>) -> Option<Taken> {
    let found = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span);
    if let Some((key, _)) = found {
        let key = key.clone();
        table.remove(&key);
        return Some(Taken { key: key.into_inner().into_owned(), table: place.clone() });
    }
    table.iter_mut().find_map(|(key, value)| {
        let inside = value.span();
        match value.get_mut() {
            DeValue::Table(inner) => take(inner, &inside, span),
            DeValue::Array(array) => take_element(array, span)
                .then(|| Taken { key: key.get_ref().to_string(), table: place.clone() }),
            _ => None,
        }
    })
}

fn take_element(array: &mut DeArray<'_>, span: &Range<usize>) -> bool {
    let place = array.iter().position(|value| value.span() == *span);
    if let Some(index) = place {
        let kept: Vec<_> =
            array.iter().enumerate().filter(|&(i, _)| i != index).map(|(_, v)| v.clone()).collect();
        *array = kept.into_iter().collect();
    }
    place.is_some()
}

fn syntax(error: &toml::de::Error) -> Problem {
    Problem::at(error.span().unwrap_or(0..0), error.message().lines().next().unwrap_or_default())
}

/// The words of serde, as a person wants to read them.
fn translate(error: &toml::de::Error, sources: &Sources) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let message = error.message();
    let mut in_marks = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let word = in_marks.next().unwrap_or_default();
        let known: Vec<&str> = in_marks.collect();
        let what = if message.starts_with("unknown field") { "key" } else { "choice" };
        return Problem::unknown(span, what, word, &known);
    }
    if let Some(key) = missing_key(message) {
        let whole = span.start == 0 && span.end >= sources.scenario().len();
        let label = if whole { "not in this file" } else { "not in this table" };
        let problem = Problem::at(span, format!("the key `{key}` is missing")).label(label);
        return match example(key) {
            Some(help) => problem.help(help),
            None => problem,
        };
    }
    if let Some((found, expected)) = wrong_type(message) {
        return Problem::at(span, format!("expected {expected}, found {found}"));
    }
    if message.starts_with("wanted exactly 1 element") {
        let none = message.ends_with("found 0 elements");
        let title = if none { "the name of a model is missing" } else { "too many keys" };
        return Problem::at(span, title).label("exactly one is needed here");
    }
    if message.starts_with("wanted string or table") {
        return Problem::at(span, "expected a word in quotes or a table");
    }
    let mut lines = message.lines();
    let mut problem = Problem::at(span, lines.next().unwrap_or_default());
    if let Some(label) = lines.next() {
        problem = problem.label(label);
    }
    lines.fold(problem, Problem::help)
}

/// What was found and what was expected, in the words of TOML instead of Rust's.
fn wrong_type(message: &str) -> Option<(String, String)> {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let expected = match expected {
        "u32" | "u16" | "u64" => "a whole number, 0 or above",
        "f64" => "a number",
        "a sequence" => "an array",
        "a boolean" => "`true` or `false`",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    };
    let found = match found {
        "map" => "a table".to_owned(),
        "sequence" => "an array".to_owned(),
        _ => match found.split('`').nth(1) {
            // Rust's words for kinds of numbers say nothing to who wrote one.
            Some(number) if !found.starts_with("string") && !found.starts_with("bool") => {
                format!("`{number}`")
            }
            _ => found.to_owned(),
        },
    };
    let too_large = expected.starts_with("a whole number")
        && found.trim_matches('`').parse().is_ok_and(|number: i128| number > 0);
    let expected = if too_large { "a whole number below 2^32" } else { expected };
    Some((found, expected.to_owned()))
}

fn missing_key(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// What to write for a key that must be there.
fn example(key: &str) -> Option<&'static str> {
    Some(match key {
        "down" | "up" => {
            "both directions need a table: a missing one is not a perfect link; \
             write for example `[path.up]` with `delay = \"20ms\"`"
        }
        "duration" => "write for example `duration = \"60s\"`",
        "path" => "write `[path.down]` and `[path.up]`, each with what its link does",
        "contender" => "write for example `[contender.tcp-cubic]` with `tcp = { congestion = \"cubic\" }`",
        "lost" => "write which digit means lost: `lost = \"0\"` or `lost = \"1\"`; both are in use",
        "for" => "write how long each lasts, for example `for = \"2s\"`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &str = r#"
        duration = "10s"
        [traffic.down.screen]
        constant = { rate = "30Hz", size = "5kB" }
        [path.down]
        delay = "20ms"
        loss.iid.rate = "1%"
        [path.up]
        delay = "20ms"
        [contender.udp]
        udp = { fec.xor.source = 5 }
        [contender.tcp]
        tcp = {}
    "#;

    fn problems(text: &str, sets: &[&str]) -> Vec<String> {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        match parse(Sources::built_in("a.toml", text), &sets) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.list().iter().map(|problem| problem.title.clone()).collect(),
        }
    }

    #[test]
    fn a_whole_scenario_keeps_its_order_and_gets_its_defaults() {
        let draft = parse(Sources::built_in("a.toml", WHOLE), &[]).unwrap();
        assert_eq!(draft.file.contender.names().collect::<Vec<_>>(), ["udp", "tcp"]);
        assert_eq!((draft.file.seeds.value, draft.file.path.mtu.value), (10, 1500));
    }

    #[test]
    fn the_effective_scenario_reads_back_as_itself() {
        let draft = parse(
            Sources::built_in("a.toml", WHOLE),
            &["path.down.jitter.gamma={mean=\"4ms\",deviation=\"2ms\"}".to_owned()],
        )
        .unwrap();
        let effective = toml::to_string_pretty(&draft.file).unwrap();
        let again = parse(Sources::built_in("b.toml", &effective), &[]).unwrap();
        assert_eq!(again.file, draft.file);
    }

    #[test]
    fn all_problems_of_a_file_are_reported_at_once() {
        let text = WHOLE.replace("\"10s\"", "10").replace("rate = \"1%\"", "rat = 1").replace("xor", "xxor");
        let found = problems(&text, &["path.up.delay=20 parsecs"]);
        assert_eq!(
            found,
            [
                "a unit is missing",
                "unknown key `rat`",
                "unknown choice `xxor`",
                "`20 parsecs` is not a duration"
            ]
        );
    }

    #[test]
    fn two_models_of_one_stage_are_refused_at_the_second() {
        let text = WHOLE
            .replace("loss.iid.rate = \"1%\"", "loss.iid.rate = \"1%\"\nloss.gilbert = { p = 0.1, r = 0.5 }");
        assert_eq!(problems(&text, &[]), ["`gilbert` and `iid` exclude each other"]);
    }

    #[test]
    fn an_unknown_model_beside_a_known_one_is_unknown() {
        assert_eq!(problems(WHOLE, &["path.down.loss.gilbrt.p=1%"]), ["unknown choice `gilbrt`"]);
        assert_eq!(problems(WHOLE, &["path.down.loss={}"]), ["the name of a model is missing"]);
    }

    #[test]
    fn a_missing_direction_and_an_empty_stage_are_problems() {
        let text = WHOLE.replace("[path.up]\n        delay = \"20ms\"", "");
        assert_eq!(problems(&text, &[]), ["the key `up` is missing"]);
        let text = WHOLE.replace("constant = { rate = \"30Hz\", size = \"5kB\" }", "");
        assert!(problems(&text, &[])[0].starts_with("one of `trace`"));
    }

    #[test]
    fn deep_nesting_is_refused_and_not_walked() {
        let keys = ["a"; 100_000].join(".");
        assert!(!problems(&format!("{keys} = 1"), &[]).is_empty());
        assert!(!problems(&format!("[{keys}]"), &[]).is_empty());
        assert!(!problems(&format!("x = {{ {keys} = 1 }}"), &[]).is_empty());
        assert!(!problems(&format!("x = {}", "[".repeat(100_000)), &[]).is_empty());
        let inner = format!("{}1{}", "{a=".repeat(50_000), "}".repeat(50_000));
        assert!(!problems(&format!("x = {inner}"), &[]).is_empty());
    }

    /// A right scenario with a piece of it replaced by characters that mean something in TOML.
    fn damaged() -> impl Strategy<Value = String> {
        let junk = r#"[a-z0-9 ."'=\[\]{},#%\n\\µ\x00-]{0,12}"#;
        (0..WHOLE.len(), 0..40_usize, junk).prop_map(|(start, length, junk)| {
            let end = (start + length).min(WHOLE.len());
            format!("{}{junk}{}", &WHOLE[..start], &WHOLE[end..])
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_text_and_no_override_makes_the_reader_fall_over(text in damaged(), set in "[a-z.=\"'\\[{ 0-9µ%\n-]{0,30}") {
            let sets = [format!("path.down.{set}"), set];
            for sets in [&[][..], &sets[..1], &sets[1..]] {
                if let Err(problems) = parse(Sources::built_in("a.toml", &text), sets) {
                    prop_assert!(!problems.list().is_empty());
                    prop_assert!(problems.draw(false).contains("error"));
                }
            }
        }
    }
}
