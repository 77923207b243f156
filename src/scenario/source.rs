//! The texts a scenario is made of: its file and every `--set` argument, in one space of positions.
//!
//! The parser counts bytes from the front of its text. Each text here begins where the one before has
//! ended, as in a compiler's source map, so a plain byte range tells the text too, and a value set on
//! the command line is pointed at in the command line.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::built_in;
use super::problem::{Problem, Problems};

/// Texts one after the other, with one byte between them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: Vec<Source>,
}

/// One text.
#[derive(Clone, Debug)]
pub struct Source {
    /// What an error calls it: a path, or `--set #1`.
    pub name: String,
    /// The text itself.
    pub text: String,
    /// The number of its first line: 1, or a higher one where it is an excerpt.
    pub first_line: usize,
    /// Where it begins.
    start: usize,
    /// Where the files it names are looked for.
    folder: Option<PathBuf>,
}

/// Where a file that a scenario names was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// On the disk.
    OnDisk(PathBuf),
    /// In the program itself; its text.
    BuiltIn(&'static str),
}

impl Sources {
    /// More than any scenario needs, in bytes; so that a wrong path cannot fill the memory.
    pub const SIZE_MAX: u64 = 1_000_000;

    /// More than a long recording needs, in bytes.
    pub const FILE_MAX: u64 = 100_000_000;

    /// The scenario in the file at `path`; a problem where it cannot be read or is no text.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let name = path.display().to_string();
        let refuse = |title: String| Problems::new(Self::default(), vec![Problem::of_no_text(title)]);
        let (bytes, longer) = read_bounded(path, Self::SIZE_MAX)
            .map_err(|error| refuse(format!("cannot read {name}: {}", describe(&error))))?;
        if longer {
            let bound = Self::SIZE_MAX / 1_000_000;
            return Err(refuse(format!("{name} is no scenario: it is larger than {bound} MB")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
            refuse(format!("{name} is no text: line {line} has a byte that is not UTF-8"))
        })?;
        let mut sources = Self::default();
        sources.texts.push(Source {
            name,
            text,
            first_line: 1,
            start: 0,
            folder: Some(path.parent().unwrap_or(Path::new("")).to_owned()),
        });
        Ok(sources)
    }

    /// The scenario `text`, which errors call `name`; it has no folder.
    pub fn built_in(name: &str, text: &str) -> Self {
        let mut sources = Self::default();
        sources.add(name, text);
        sources
    }

    /// Adds a text and says where it begins.
    pub(super) fn add(&mut self, name: &str, text: &str) -> usize {
        self.add_excerpt(name, text, 1)
    }

    /// Adds the part of a text that begins with the line `first_line` and says where it begins.
    pub(super) fn add_excerpt(&mut self, name: &str, text: &str, first_line: usize) -> usize {
        let start = self.texts.last().map_or(0, |last| last.start + last.text.len() + 1);
        self.texts.push(Source {
            name: name.to_owned(),
            text: text.to_owned(),
            first_line,
            start,
            folder: None,
        });
        start
    }

    /// Where `span` is, as an error says it: `cafe.toml:4:17`.
    pub(super) fn place(&self, span: &Range<usize>) -> Option<String> {
        let (source, range) = self.locate(span)?;
        let before = &source.text[..range.start];
        let line = source.first_line + before.matches('\n').count();
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        Some(format!("{}:{line}:{column}", source.name))
    }

    /// The scenario's own text, which is the first.
    pub fn scenario(&self) -> &str {
        self.texts.first().map_or("", |source| &source.text)
    }

    /// What errors call the scenario: its path, or its name where it is built in.
    pub fn name(&self) -> &str {
        self.texts.first().map_or("", |source| &source.name)
    }

    /// The folder of the scenario's file; none where the scenario is built in.
    pub fn folder(&self) -> Option<&Path> {
        self.texts.first()?.folder.as_deref()
    }

    /// The text in which `span` begins, and the range there; clipped to the text, so never outside it.
    pub fn locate(&self, span: &Range<usize>) -> Option<(&Source, Range<usize>)> {
        let source = self.texts.iter().rev().find(|source| source.start <= span.start)?;
        let clip = |at: usize| {
            let mut at = at.saturating_sub(source.start).min(source.text.len());
            while !source.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        Some((source, clip(span.start)..clip(span.end)))
    }

    /// Where the file that the scenario calls `name` is: on the disk beside it, or in the program where
    /// the scenario is built in. The error says why there is none, in a few words.
    pub fn find_file(&self, name: &str) -> Result<Found, String> {
        let Some(folder) = self.folder() else {
            let file = built_in::find(built_in::TRACES, name);
            return file.map(|file| Found::BuiltIn(file.text)).ok_or_else(|| "not built in".to_owned());
        };
        let path = folder.join(name);
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(Found::OnDisk(path)),
            Ok(_) => Err(format!("{} is not a file", path.display())),
            Err(error) => Err(format!("{}: {}", path.display(), describe(&error))),
        }
    }

    /// What is in the file that the scenario calls `name`; at most [`Sources::FILE_MAX`] of it.
    pub fn read_file(&self, name: &str) -> Result<String, String> {
        let path = match self.find_file(name)? {
            Found::BuiltIn(text) => return Ok(text.to_owned()),
            Found::OnDisk(path) => path,
        };
        let (bytes, longer) = read_bounded(&path, Self::FILE_MAX).map_err(|error| describe(&error))?;
        if longer {
            return Err(format!("it is larger than {} MB", Self::FILE_MAX / 1_000_000));
        }
        String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())
    }

    /// The characters that `span` covers.
    pub fn text_at(&self, span: &Range<usize>) -> &str {
        self.locate(span).map_or("", |(source, range)| &source.text[range])
    }

    /// Where the `range` of the string in quotes at `span` stands; all of it where the string is
    /// written with escapes, so that places in it and in the text differ.
    pub fn within_string(&self, span: &Range<usize>, value: &str, range: Range<usize>) -> Range<usize> {
        let written = self.text_at(span);
        match written.find(value) {
            Some(skip) if !value.is_empty() => {
                span.start + skip + range.start..span.start + skip + range.end.max(range.start)
            }
            _ => span.clone(),
        }
    }
}

/// The first `bound` bytes of the file at `path`, and whether there are more.
pub(super) fn read_bounded(path: &Path, bound: u64) -> io::Result<(Vec<u8>, bool)> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(bound + 1).read_to_end(&mut bytes)?;
    let longer = bytes.len() as u64 > bound;
    bytes.truncate(usize::try_from(bound).unwrap_or(usize::MAX));
    Ok((bytes, longer))
}

/// The words for an error of reading, the same on every system for the usual ones.
pub(super) fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_tells_its_text_and_the_place_in_it() {
        let mut sources = Sources::built_in("a.toml", "first");
        let start = sources.add("--set #1", "second");
        let (source, range) = sources.locate(&(start + 1..start + 3)).unwrap();
        assert_eq!((source.name.as_str(), range), ("--set #1", 1..3));
        let (source, range) = sources.locate(&(1..2)).unwrap();
        assert_eq!((source.name.as_str(), range), ("a.toml", 1..2));
    }

    #[test]
    fn positions_outside_a_text_or_inside_a_character_are_clipped() {
        let sources = Sources::built_in("a.toml", "µs");
        assert_eq!(sources.locate(&(1..900)).unwrap().1, 0..3);
        assert_eq!(Sources::default().text_at(&(3..9)), "");
    }

    #[test]
    fn a_place_in_a_string_is_found_behind_its_quote() {
        let sources = Sources::built_in("a.toml", r#"r = "abc < 1""#);
        assert_eq!(sources.within_string(&(4..13), "abc < 1", 0..3), 5..8);
        let escaped = Sources::built_in("a.toml", r#"r = "a\u0062c""#);
        assert_eq!(escaped.within_string(&(4..14), "abc", 1..2), 4..14);
    }
}
