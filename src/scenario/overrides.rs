//! `--set KEY=VALUE`: any key of a scenario, by its dotted path, before the tree is typed.
//!
//! So no flag of the command line repeats a key. A value that is no TOML is a string, which spares the
//! quotes in `--set path.down.loss.iid.rate=5%`. Places are those of the argument in the [`Sources`]:
//! the argument is parsed behind as many blank bytes as there are texts before it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::alternatives;
use super::problem::Problem;
use super::source::Sources;

/// More keys in a path than any scenario has.
const DEPTH_MAX: usize = 16;

/// One `--set` argument, split where its key ends.
#[derive(Clone, Debug)]
pub(super) struct Override {
    /// The key as a text in which it stands at its place in the sources.
    key: String,
    /// The value as such a text, behind `k=`.
    value: String,
    /// Where the key and the value stand.
    places: (Range<usize>, Range<usize>),
}

impl Override {
    /// Takes the `number`-th argument into the sources, and splits it.
    pub(super) fn new(sources: &mut Sources, number: usize, argument: &str) -> Result<Self, Problem> {
        let start = sources.add(&format!("--set #{number}"), argument);
        let all = start..start + argument.len();
        let Some(equals) = equals_sign(argument) else {
            return Err(Problem::at(all, "an override needs a key and a value")
                .label("write KEY=VALUE")
                .help("for example: --set path.down.loss.iid.rate=5%"));
        };
        let (key, value) = (&argument[..equals], &argument[equals + 1..]);
        if key.matches('.').count() >= DEPTH_MAX {
            return Err(Problem::at(start..start + equals, "no key lies so deep"));
        }
        let value_start = start + equals + 1;
        Ok(Self {
            key: format!("{}{key}=0", "\n".repeat(start)),
            value: format!("{}k={value}", "\n".repeat(value_start - 2)),
            places: (start..start + equals, value_start..all.end),
        })
    }

    /// Sets the value in the tree.
    pub(super) fn apply<'a>(&'a self, tree: &mut DeTable<'a>) -> Result<(), Problem> {
        let path = self.path()?;
        let value = self.value()?;
        insert(tree, &mut Vec::new(), &path, value)
    }

    fn path(&self) -> Result<Vec<Spanned<DeString<'_>>>, Problem> {
        let wrong = || {
            Problem::at(self.places.0.clone(), "that is no key")
                .label("write keys with dots between them")
                .help(
                    "for example: path.down.delay; a name with other than letters, digits, - and _ in quotes",
                )
        };
        let mut table = DeTable::parse(&self.key).map_err(|_| wrong())?.into_inner();
        let mut path = Vec::new();
        loop {
            let mut entries = table.into_iter();
            let (Some((key, value)), None) = (entries.next(), entries.next()) else { return Err(wrong()) };
            path.push(key);
            match value.into_inner() {
                DeValue::Table(inner) => table = inner,
                _ => return Ok(path),
            }
        }
    }

    fn value(&self) -> Result<Spanned<DeValue<'_>>, Problem> {
        let place = self.places.1.clone();
        let parsed = DeTable::parse(&self.value).map(Spanned::into_inner);
        if let Ok(table) = &parsed
            && table.len() == 1
            && let Some(value) = table.values().next()
        {
            return Ok(value.clone());
        }
        let text = self.value.trim_start_matches('\n').trim_start_matches("k=");
        match (parsed, text.trim_start().starts_with(['"', '\'', '[', '{'])) {
            (Err(error), true) => Err(Problem::at(error.span().unwrap_or(place), error.message())
                .label("this value opens like TOML, but is none")),
            _ => Ok(Spanned::new(place, DeValue::String(text.into()))),
        }
    }
}

/// The first equals sign outside of quotes.
fn equals_sign(argument: &str) -> Option<usize> {
    let mut quote = None;
    argument.char_indices().find_map(|(at, c)| {
        match (quote, c) {
            (None, '=') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        None
    })
}

fn insert<'a>(
    table: &mut DeTable<'a>,
    above: &mut Vec<String>,
    path: &[Spanned<DeString<'a>>],
    value: Spanned<DeValue<'a>>,
) -> Result<(), Problem> {
    let Some((key, below)) = path.split_first() else { return Ok(()) };
    let names: Vec<&str> = above.iter().map(String::as_str).collect();
    alternatives::make_room(table, &names, key.get_ref());
    if below.is_empty() {
        table.insert(key.clone(), value);
        return Ok(());
    }
    above.push(key.get_ref().to_string());
    let names: Vec<&str> = above.iter().map(String::as_str).collect();
    let empty = || Spanned::new(key.span(), DeValue::Table(DeTable::new()));
    let entry = table.entry(key.clone()).or_insert_with(empty);
    // A model without parameters is a word; one with parameters takes its place.
    if entry.get_ref().is_str() && alternatives::of(&names).is_some() {
        *entry = empty();
    }
    match entry.get_mut() {
        DeValue::Table(inner) => insert(inner, above, below, value),
        other => {
            let title = format!("`{}` is a {} and has no keys", above.join("."), other.type_str());
            Err(Problem::at(below[0].span(), title).label("so this key cannot be set"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, arguments: &[&str]) -> Result<String, Problem> {
        let mut sources = Sources::built_in("a.toml", text);
        let mut overrides = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            overrides.push(Override::new(&mut sources, index + 1, argument)?);
        }
        let mut tree = DeTable::parse(text).unwrap();
        for one in &overrides {
            one.apply(tree.get_mut())?;
        }
        let table: toml::Table = serde::Deserialize::deserialize(toml::de::Deserializer::from(tree)).unwrap();
        Ok(serde_json::to_string(&table).unwrap())
    }

    #[test]
    fn values_are_toml_or_else_strings() {
        assert_eq!(after("", &["a.b=5%"]).unwrap(), r#"{"a":{"b":"5%"}}"#);
        assert_eq!(
            after("", &["a=5", "b=0.5", "c=true", "d=\"x\""]).unwrap(),
            r#"{"a":5,"b":0.5,"c":true,"d":"x"}"#
        );
        assert_eq!(after("", &["a=[1, 2]", "b={c = 1}"]).unwrap(), r#"{"a":[1,2],"b":{"c":1}}"#);
        assert_eq!(after("", &["a=40ms", "b=", "c=x=y"]).unwrap(), r#"{"a":"40ms","b":"","c":"x=y"}"#);
        assert_eq!(after("", &["a=1\nb=2"]).unwrap(), r#"{"a":"1\nb=2"}"#);
    }

    #[test]
    fn names_in_quotes_may_have_dots_and_equals_signs() {
        assert_eq!(after("", &[r#"a."b.c=d".e=1"#]).unwrap(), r#"{"a":{"b.c=d":{"e":1}}}"#);
    }

    #[test]
    fn the_order_of_the_file_is_kept() {
        assert_eq!(after("[c]\nz = 1\na = 2", &["c.a=3", "c.b=4"]).unwrap(), r#"{"c":{"z":1,"a":3,"b":4}}"#);
    }

    #[test]
    fn setting_a_variant_replaces_its_siblings() {
        let text = "[path.down]\nmtu = 1\nloss.channel = { channel = \"radio\" }";
        let set = after(text, &["path.down.loss.iid.rate=5%"]).unwrap();
        assert_eq!(set, r#"{"path":{"down":{"mtu":1,"loss":{"iid":{"rate":"5%"}}}}}"#);
        let text = "[contender.a]\nudp = { fec = \"none\", datagram = 900 }";
        let set = after(text, &["contender.a.udp.fec.xor.source=4"]).unwrap();
        assert_eq!(set, r#"{"contender":{"a":{"udp":{"fec":{"xor":{"source":4}},"datagram":900}}}}"#);
    }

    #[test]
    fn what_is_no_override_is_refused() {
        for wrong in ["", "=", "a", "a b=1", "a..b=1", ".a=1", "a=[1", "a=\"x", "[a]=1", "a#b=1", "\"a=1"] {
            assert!(after("", &[wrong]).is_err(), "{wrong:?} is no override");
        }
        assert!(after("", &[&format!("{}=1", ["a"; 100_000].join("."))]).is_err());
        assert!(after("a = 1", &["a.b=1"]).unwrap_err().title.contains("`a` is a integer"));
    }

    #[test]
    fn places_are_those_of_the_argument() {
        let mut sources = Sources::built_in("a.toml", "x = 1\n");
        let set = Override::new(&mut sources, 1, "a.bc=5%").unwrap();
        let path = set.path().unwrap();
        assert_eq!(sources.text_at(&path[1].span()), "bc");
        assert_eq!(sources.text_at(&set.value().unwrap().span()), "5%");
        let empty = Override::new(&mut Sources::built_in("a.toml", ""), 1, "a=1").unwrap();
        assert_eq!(empty.value().unwrap().span(), 3..4);
    }
}
