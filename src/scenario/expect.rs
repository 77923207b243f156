//! Rules about results: `framehawk.age_p99_ms < 0.5 * tcp-cubic.age_p99_ms`.
//!
//! ```text
//! rule  = side ("<" | "<=" | ">" | ">=") side
//! side  = term (("*" | "/") term)*
//! term  = number | name | "lower(" name ")" | "upper(" name ")"
//! name  = contender "." metric
//! ```
//!
//! A name stands for the metric's mean over the seeds, `lower` and `upper` for the ends of its 95 %
//! interval. A name that is not known is an error: a rule that nothing can break would be worse than
//! none. A rule about a metric that has no value in this run is not met.

use std::iter;
use std::ops::Range;

use super::nearest::nearest;
use super::problem::list;

/// Longer than any rule a person reads, in bytes.
const LENGTH_MAX: usize = 1000;

/// A rule that has been read, with known names only.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    left: Side,
    comparison: Comparison,
    right: Side,
}

/// What a rule comes to on the results of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Whether it holds.
    pub met: bool,
    /// The value of its left side, or why it has none.
    pub left: Result<f64, &'static str>,
    /// The value of its right side, or why it has none.
    pub right: Result<f64, &'static str>,
}

impl Evaluation {
    /// Why the rule cannot hold, where a side has no value.
    pub fn reason(&self) -> Option<&'static str> {
        self.left.err().or(self.right.err())
    }
}

/// The results that rules are about.
pub trait Results {
    /// The mean of a metric over the seeds, or why it has none.
    fn mean(&self, contender: &str, metric: &str) -> Result<f64, &'static str>;
    /// The ends of its 95 % interval, or why it has none.
    fn interval(&self, contender: &str, metric: &str) -> Result<(f64, f64), &'static str>;
}

/// Why a text is no rule, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The bytes of the rule that are wrong.
    pub range: Range<usize>,
    /// What is wrong.
    pub title: String,
    /// What would be right, in a few words.
    pub label: String,
    /// What would be right, in a sentence; may be empty.
    pub help: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Side {
    first: Term,
    rest: Vec<(Operator, Term)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Number(f64),
    Metric { bound: Bound, contender: String, metric: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Mean,
    Lower,
    Upper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Times,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Rule {
    /// Reads a rule about these contenders and metrics.
    pub fn parse(text: &str, contenders: &[&str], metrics: &[&str]) -> Result<Self, RuleError> {
        if text.len() > LENGTH_MAX {
            return Err(RuleError {
                range: 0..text.len(),
                title: format!("a rule has at most {LENGTH_MAX} bytes"),
                label: "too long".to_owned(),
                help: String::new(),
            });
        }
        let mut parser = Parser { text, at: 0, contenders, metrics };
        let left = parser.side()?;
        let comparison = parser.comparison()?;
        let right = parser.side()?;
        match parser.token() {
            None => Ok(Self { text: text.to_owned(), left, comparison, right }),
            Some((range, _)) => {
                Err(parser.wrong(range, "a rule ends here", "expected nothing more, or `*` or `/`"))
            }
        }
    }

    /// The contenders that it names, once for each time that it does.
    pub fn contenders(&self) -> impl Iterator<Item = &str> {
        let terms = self.left.terms().chain(self.right.terms());
        terms.filter_map(|term| match term {
            Term::Metric { contender, .. } => Some(contender.as_str()),
            Term::Number(_) => None,
        })
    }

    /// Whether the rule holds on these results.
    pub fn evaluate(&self, results: &impl Results) -> Evaluation {
        let (left, right) = (self.left.value(results), self.right.value(results));
        let met = match (left, right) {
            (Ok(left), Ok(right)) => match self.comparison {
                Comparison::Less => left < right,
                Comparison::LessOrEqual => left <= right,
                Comparison::Greater => left > right,
                Comparison::GreaterOrEqual => left >= right,
            },
            _ => false,
        };
        Evaluation { met, left, right }
    }
}

impl Side {
    fn terms(&self) -> impl Iterator<Item = &Term> {
        iter::once(&self.first).chain(self.rest.iter().map(|(_, term)| term))
    }

    /// None where a metric has no value, or where the arithmetic has none.
    fn value(&self, results: &impl Results) -> Result<f64, &'static str> {
        let mut value = self.first.value(results)?;
        for (operator, term) in &self.rest {
            let factor = term.value(results)?;
            value = match operator {
                Operator::Times => value * factor,
                Operator::Over => value / factor,
            };
        }
        if value.is_finite() { Ok(value) } else { Err("a division by zero, or too large") }
    }
}

impl Term {
    fn value(&self, results: &impl Results) -> Result<f64, &'static str> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Metric { bound, contender, metric } => match bound {
                Bound::Mean => results.mean(contender, metric),
                Bound::Lower => results.interval(contender, metric).map(|(lower, _)| lower),
                Bound::Upper => results.interval(contender, metric).map(|(_, upper)| upper),
            },
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    contenders: &'a [&'a str],
    metrics: &'a [&'a str],
}

impl<'a> Parser<'a> {
    fn side(&mut self) -> Result<Side, RuleError> {
        let first = self.term()?;
        let mut rest = Vec::new();
        loop {
            let before = self.at;
            let operator = match self.token() {
                Some((_, "*")) => Operator::Times,
                Some((_, "/")) => Operator::Over,
                _ => {
                    self.at = before;
                    return Ok(Side { first, rest });
                }
            };
            rest.push((operator, self.term()?));
        }
    }

    fn term(&mut self) -> Result<Term, RuleError> {
        let expected = "expected a number or `contender.metric`";
        let Some((range, word)) = self.token() else {
            return Err(self.wrong(self.end(), "the rule is not finished", expected));
        };
        if !is_word(word) {
            return Err(self.wrong(range, format!("`{word}` cannot stand here"), expected));
        }
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && let Some(number) = word.parse().ok().filter(|number: &f64| number.is_finite())
        {
            return Ok(Term::Number(number));
        }
        let bound = match word {
            "lower" => Bound::Lower,
            "upper" => Bound::Upper,
            _ => return self.metric(range, word, Bound::Mean),
        };
        self.exactly("(")?;
        let Some((range, word)) = self.token().filter(|(_, word)| is_word(word)) else {
            return Err(self.wrong(self.end(), "the rule is not finished", "expected `contender.metric`"));
        };
        let term = self.metric(range, word, bound)?;
        self.exactly(")")?;
        Ok(term)
    }

    fn metric(&self, range: Range<usize>, word: &str, bound: Bound) -> Result<Term, RuleError> {
        let Some((contender, metric)) = word.rsplit_once('.') else {
            let label = match self.contenders.first().zip(self.metrics.first()) {
                Some((contender, metric)) => format!("write for example `{contender}.{metric}`"),
                None => "write `contender.metric`".to_owned(),
            };
            return Err(self.wrong(range, format!("`{word}` names no metric of a contender"), label));
        };
        let dot = range.start + contender.len();
        if !self.contenders.contains(&contender) {
            return Err(unknown(range.start..dot, "contender", contender, self.contenders));
        }
        if !self.metrics.contains(&metric) {
            let mut error = unknown(dot + 1..range.end, "metric", metric, self.metrics);
            error.help = "`fhsim explain` lists the metrics".to_owned();
            return Err(error);
        }
        Ok(Term::Metric { bound, contender: contender.to_owned(), metric: metric.to_owned() })
    }

    fn comparison(&mut self) -> Result<Comparison, RuleError> {
        let label = "expected `<`, `<=`, `>` or `>=`";
        match self.token() {
            Some((_, "<")) => Ok(Comparison::Less),
            Some((_, "<=")) => Ok(Comparison::LessOrEqual),
            Some((_, ">")) => Ok(Comparison::Greater),
            Some((_, ">=")) => Ok(Comparison::GreaterOrEqual),
            Some((range, other)) => Err(self.wrong(range, format!("`{other}` compares nothing"), label)),
            None => Err(self.wrong(self.end(), "the rule is not finished", label)),
        }
    }

    fn exactly(&mut self, wanted: &str) -> Result<(), RuleError> {
        let (range, found) = self.token().unwrap_or((self.end(), ""));
        if found == wanted {
            return Ok(());
        }
        Err(self.wrong(range, "`lower` and `upper` take a name in brackets", format!("expected `{wanted}`")))
    }

    /// The next word or sign with its place.
    fn token(&mut self) -> Option<(Range<usize>, &'a str)> {
        let rest = self.text[self.at..].trim_start();
        let start = self.text.len() - rest.len();
        let first = rest.chars().next()?;
        let length = if is_letter(first) {
            rest.find(|c| !is_letter(c)).unwrap_or(rest.len())
        } else if rest.starts_with("<=") || rest.starts_with(">=") || rest.starts_with("==") {
            2
        } else {
            first.len_utf8()
        };
        self.at = start + length;
        Some((start..self.at, &rest[..length]))
    }

    fn end(&self) -> Range<usize> {
        let end = self.text.trim_end().len();
        let last = self.text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
        last..end
    }

    fn wrong(&self, range: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> RuleError {
        let example = match self.contenders.first().zip(self.metrics.first()) {
            Some((contender, metric)) => format!("{contender}.{metric}"),
            None => "contender.metric".to_owned(),
        };
        RuleError {
            range,
            title: title.into(),
            label: label.into(),
            help: format!("a rule reads like `{example} < 150`, with only `<`, `<=`, `>`, `>=`, `*` and `/`"),
        }
    }
}

fn unknown(range: Range<usize>, what: &str, word: &str, known: &[&str]) -> RuleError {
    let label = match nearest(word, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("no {what} has this name"),
    };
    RuleError {
        range,
        title: format!("unknown {what} `{word}`"),
        label,
        help: if known.is_empty() {
            format!("there is no {what}")
        } else {
            format!("known here are {}", list(known))
        },
    }
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn is_word(token: &str) -> bool {
    token.starts_with(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table;

    impl Results for Table {
        fn mean(&self, contender: &str, metric: &str) -> Result<f64, &'static str> {
            match (contender, metric) {
                ("udp", "age_p99_ms") => Ok(100.0),
                ("tcp-cubic", "age_p99_ms") => Ok(400.0),
                _ => Err("nothing froze"),
            }
        }

        fn interval(&self, contender: &str, metric: &str) -> Result<(f64, f64), &'static str> {
            self.mean(contender, metric).map(|mean| (mean - 10.0, mean + 10.0))
        }
    }

    fn parse(text: &str) -> Result<Rule, RuleError> {
        Rule::parse(text, &["udp", "tcp-cubic"], &["age_p99_ms", "frozen_pct"])
    }

    fn met(text: &str) -> bool {
        parse(text).unwrap().evaluate(&Table).met
    }

    #[test]
    fn rules_compare_means_products_and_quotients() {
        assert!(met("udp.age_p99_ms < 150"));
        assert!(met("udp.age_p99_ms<0.5*tcp-cubic.age_p99_ms"));
        assert!(met("udp.age_p99_ms <= 100") && !met("udp.age_p99_ms < 100"));
        assert!(met("tcp-cubic.age_p99_ms / udp.age_p99_ms >= 4") && met("1 > 0.5"));
        assert!(met("2 * 3 / 6 <= 1"));
    }

    #[test]
    fn bounds_are_the_ends_of_the_interval() {
        assert!(met("upper(udp.age_p99_ms) <= 110") && !met("upper( udp.age_p99_ms ) < 110"));
        assert!(met("lower(tcp-cubic.age_p99_ms) > upper(udp.age_p99_ms)"));
    }

    #[test]
    fn a_metric_without_a_value_and_a_division_by_zero_meet_nothing() {
        assert!(!met("udp.frozen_pct >= 0") && !met("udp.frozen_pct < 1"));
        assert!(!met("1 / 0 > 5") && !met("0 / 0 < 5"));
        let why = |text: &str| parse(text).unwrap().evaluate(&Table).reason();
        assert_eq!(why("udp.frozen_pct >= 0"), Some("nothing froze"));
        assert_eq!(why("1 < 2 / 0"), Some("a division by zero, or too large"));
        assert_eq!(why("1 > 2"), None);
    }

    #[test]
    fn errors_point_into_the_rule() {
        let at = |text: &str| {
            let error = parse(text).unwrap_err();
            (text[error.range.clone()].to_owned(), error.title)
        };
        assert_eq!(at("upd.age_p99_ms < 1").0, "upd");
        assert_eq!(at("udp.age_p9_ms < 1").0, "age_p9_ms");
        assert_eq!(at("udp.age_p99_ms == 1"), ("==".to_owned(), "`==` compares nothing".to_owned()));
        assert_eq!(at("udp.age_p99_ms < 150 ms"), ("ms".to_owned(), "a rule ends here".to_owned()));
        assert_eq!(at("udp.age_p99_ms <").1, "the rule is not finished");
        assert_eq!(at("< 5").0, "<");
        assert_eq!(at("age_p99_ms < 5").0, "age_p99_ms");
        assert_eq!(at("lower udp.age_p99_ms < 5").0, "udp.age_p99_ms");
        assert_eq!(parse("upd.age_p99_ms < 1").unwrap_err().label, "did you mean `udp`?");
    }

    #[test]
    fn no_text_makes_the_reader_fall_over() {
        for text in [
            "",
            " ",
            "µ",
            "<",
            "<<",
            "lower(",
            "upper()",
            "lower()(",
            "1 < ",
            "* 1 < 2",
            "1 * < 2",
            "a.b.c",
            "1e999 < 2",
            "-1 < 2",
            "((",
            "1 < 2 < 3",
            "\0 < 1",
        ] {
            assert!(parse(text).is_err(), "{text:?} is no rule");
        }
        assert!(parse(&"1*".repeat(100_000)).is_err());
    }
}
