//! What is wrong with a scenario, where, and what would be right; drawn as rustc draws its errors.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::source::Sources;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; none where there is no text to point at.
    pub span: Option<Range<usize>>,
    /// What is wrong, in one line.
    pub title: String,
    /// What stands under the underlined text.
    pub label: String,
    /// What would be right: whole sentences.
    pub helps: Vec<String>,
}

impl Problem {
    /// A problem with the text at `span`, or with a default that stands nowhere.
    pub fn at(span: impl Into<Option<Range<usize>>>, title: impl Into<String>) -> Self {
        Self { span: span.into(), title: title.into(), label: String::new(), helps: Vec::new() }
    }

    /// A problem without a text: a file that cannot be read.
    pub fn of_no_text(title: impl Into<String>) -> Self {
        Self { span: None, title: title.into(), label: String::new(), helps: Vec::new() }
    }

    /// The same with these words under the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with one more sentence about what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }

    /// An unknown word at `span`, with the `known` ones and the nearest of them.
    pub fn unknown(span: impl Into<Option<Range<usize>>>, what: &str, word: &str, known: &[&str]) -> Self {
        let problem = Self::at(span, format!("unknown {what} `{word}`"));
        let problem = match super::nearest::nearest(word, known.iter().copied()) {
            Some(name) => problem.label(format!("did you mean `{name}`?")),
            None => problem.label("not known here"),
        };
        match known {
            [] => problem.help(format!("there is no {what} here")),
            [only] => problem.help(format!("known here is only `{only}`")),
            _ => problem.help(format!("known here are {}", list(known))),
        }
    }

    fn draw(&self, sources: &Sources, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(self.title.as_str());
        let mut group = match self.span.as_ref().and_then(|span| sources.locate(span)) {
            Some((source, range)) => {
                let annotation = AnnotationKind::Primary.span(visible(&source.text, range));
                let label = (!self.label.is_empty()).then_some(self.label.as_str());
                let snippet = Snippet::source(source.text.as_str())
                    .path(source.name.as_str())
                    .line_start(source.first_line)
                    .annotation(annotation.label(label));
                title.element(snippet)
            }
            None if self.label.is_empty() => Group::with_title(title),
            None => title.element(Level::NOTE.message(self.label.as_str())),
        };
        group = group.elements(self.helps.iter().map(|help| Level::HELP.message(help.as_str())));
        renderer.render(&[group])
    }
}

/// Everything wrong with one scenario, with the texts to point at. Never empty.
#[derive(Clone, Debug)]
pub struct Problems {
    sources: Box<Sources>,
    problems: Vec<Problem>,
    /// How many more there are.
    more: usize,
}

impl Problems {
    /// More than a person reads at once; the rest shows when these are gone.
    pub const MAX: usize = 20;

    /// Problems with these texts; the first ones in the order of the text are kept.
    pub fn new(sources: Sources, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        problems.dedup();
        let more = problems.len().saturating_sub(Self::MAX);
        problems.truncate(Self::MAX);
        Self { sources: Box::new(sources), problems, more }
    }

    /// The problems, in the order of the text.
    pub fn list(&self) -> &[Problem] {
        &self.problems
    }

    /// The drawing of all of them, with colors for a terminal or as plain text.
    pub fn draw(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut drawn: Vec<_> = self.problems.iter().map(|one| one.draw(&self.sources, &renderer)).collect();
        if self.more > 0 {
            drawn.push(format!("and {} more", self.more));
        }
        drawn.join("\n\n")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.draw(false))
    }
}

impl std::error::Error for Problems {}

/// Names in code marks with commas between them.
pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `range` as it is best drawn: the first line of what spans several, at least one character.
fn visible(text: &str, range: Range<usize>) -> Range<usize> {
    let line = text[range.clone()].lines().next().map_or(0, |line| line.trim_end().len());
    let next = text[range.start..].chars().next().filter(|&c| c != '\n').map_or(0, char::len_utf8);
    range.start..range.start + line.max(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_drawn_with_line_column_and_what_would_be_right() {
        let sources = Sources::built_in("cafe.toml", "format = 1\n[path.down]\nlos.iid.rate = 0.1\n");
        let problem = Problem::unknown(23..26, "key", "los", &["delay", "loss"]);
        insta::assert_snapshot!(Problems::new(sources, vec![problem]), @r"
        error: unknown key `los`
         --> cafe.toml:3:1
          |
        3 | los.iid.rate = 0.1
          | ^^^ did you mean `loss`?
          |
          = help: known here are `delay`, `loss`
        ");
    }

    #[test]
    fn problems_come_in_the_order_of_the_text() {
        let sources = Sources::built_in("a.toml", "a = 1\nb = 2\n");
        let problems = Problems::new(sources, vec![Problem::at(6..7, "late"), Problem::at(0..1, "early")]);
        let titles: Vec<_> = problems.list().iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(titles, ["early", "late"]);
    }

    #[test]
    fn no_more_than_a_person_reads_are_kept() {
        let many = (0..100).map(|at| Problem::at(at..at + 1, "wrong")).collect();
        let problems = Problems::new(Sources::built_in("a.toml", &"a".repeat(100)), many);
        assert_eq!(problems.list().len(), Problems::MAX);
        assert!(problems.to_string().ends_with("and 80 more"));
    }

    #[test]
    fn empty_texts_and_places_at_the_end_can_be_drawn() {
        for (text, span) in [("", 0..0), ("a", 1..1), ("a\n", 2..2), ("µ", 0..900), ("[a]\nb=1\n", 0..8)] {
            let problems = Problems::new(Sources::built_in("a.toml", text), vec![Problem::at(span, "wrong")]);
            assert!(problems.to_string().contains("wrong"));
        }
    }
}
