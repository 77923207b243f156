//! What is wrong in a file that a scenario names, pointed at in that file.

use crate::impair::delivery_trace::DeliveryTraceError;
use crate::impair::loss::trace::LossTraceError;
use crate::scenario::place::At;
use crate::scenario::problem::Problem;
use crate::scenario::source::{Found, Sources};
use crate::traffic::{TraceError, TraceFault};

/// The longest line that an error shows, in bytes; of a longer one it shows the part around the fault.
const SHOWN_MAX: usize = 120;

/// What is wrong with a recording, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What would be right and what stands there; or only what is wrong.
    reason: String,
    /// The line, counted from 1, and the byte in it, counted from 0; none where no place is to blame.
    place: Option<(usize, usize)>,
    /// How many bytes are wrong there; none where it is all up to the next comma or space.
    length: Option<usize>,
}

impl Fault {
    /// The problem with the file `name` that holds `text`; the line that is wrong joins the `sources`.
    pub(super) fn problem(self, name: &At<String>, text: &str, sources: &mut Sources) -> Problem {
        let title = format!("cannot use the recording `{}`", **name);
        let line = self.place.and_then(|(line, column)| Some((line, column, text.lines().nth(line - 1)?)));
        let Some((line, column, content)) = line else {
            return Problem::at(name.span(), title).label(self.reason);
        };
        let path = match sources.find_file(name) {
            Ok(Found::OnDisk(path)) => path.display().to_string(),
            _ => name.value.clone(),
        };
        let named = name.span().and_then(|span| sources.place(&span));
        // A line without end must not fill the screen: the excerpt begins at the fault.
        let column = boundary(content, column);
        let from = if content.len() > SHOWN_MAX { column } else { 0 };
        let shown = &content[from..boundary(content, from + SHOWN_MAX)];
        let start = sources.add_excerpt(&path, shown, line) + (column - from);
        let separators = [',', ' ', '\t'];
        let length = self.length.or_else(|| shown[column - from..].find(separators)).unwrap_or(shown.len());
        let reason = match from {
            0 => self.reason,
            _ => format!("column {}: {}", column + 1, self.reason),
        };
        let problem = Problem::at(start..start + length, title).label(reason);
        match named {
            Some(place) => problem.help(format!("the scenario names this file at {place}")),
            None => problem,
        }
    }
}

/// The start of the character in which the byte `at` lies; the end where the text is shorter.
fn boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    text.char_indices().map(|(start, _)| start).take_while(|start| *start <= at).last().unwrap_or(0)
}

impl From<TraceError> for Fault {
    fn from(error: TraceError) -> Self {
        // An empty file has no line to point at, and a short one no line to blame.
        let place = (error.fault != TraceFault::TooShort).then_some((error.line, error.column - 1));
        Self { reason: error.fault.to_string(), place, length: None }
    }
}

impl From<LossTraceError> for Fault {
    fn from(error: LossTraceError) -> Self {
        match error {
            LossTraceError::Character { line, column, got } => {
                // Before the fault are digits and white space: bytes are characters there.
                let reason = format!("expected 0 or 1, got {got:?}");
                Self { reason, place: Some((line, column - 1)), length: Some(got.len_utf8()) }
            }
            LossTraceError::Empty | LossTraceError::Polarity { .. } => {
                Self { reason: error.to_string(), place: None, length: None }
            }
        }
    }
}

impl From<DeliveryTraceError> for Fault {
    fn from(error: DeliveryTraceError) -> Self {
        let (reason, line) = match error {
            DeliveryTraceError::Number { line, got } => {
                let got = got.chars().take(20).collect::<String>();
                (format!("expected a whole number of milliseconds, got {got:?}"), line)
            }
            DeliveryTraceError::Falls { line, got, previous } => {
                (format!("{got} ms comes before the {previous} ms of the line above"), line)
            }
            DeliveryTraceError::Empty | DeliveryTraceError::NoTime => {
                return Self { reason: error.to_string(), place: None, length: None };
            }
        };
        Self { reason, place: Some((line, 0)), length: None }
    }
}
