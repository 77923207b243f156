//! Loss as it was recorded: one character per packet, `0` or `1`.
//!
//! Both polarities are in use: Link'Em and FlowEmu write 0 for a lost packet, Tambur writes 1. So the
//! polarity is never guessed. White space between characters is ignored, and what follows a `#` is a
//! comment to the end of its line.

use std::sync::Arc;

/// A recording of losses, repeated for ever; a flow's n-th packet meets its n-th entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossTrace {
    lost: Arc<[bool]>,
}

impl LossTrace {
    /// Reads a recording in which `lost` ('0' or '1') stands for a lost packet.
    ///
    /// # Errors
    /// Where another character stands in it, where it holds no packet, and where `lost` is neither.
    pub fn parse(text: &str, lost: char) -> Result<Self, LossTraceError> {
        if !matches!(lost, '0' | '1') {
            return Err(LossTraceError::Polarity { got: lost });
        }
        let mut entries = Vec::new();
        for (line, content) in text.lines().enumerate() {
            for (column, character) in content.chars().enumerate() {
                match character {
                    '#' => break,
                    '0' | '1' => entries.push(character == lost),
                    space if space.is_whitespace() => {}
                    got => {
                        return Err(LossTraceError::Character { line: line + 1, column: column + 1, got });
                    }
                }
            }
        }
        if entries.is_empty() {
            return Err(LossTraceError::Empty);
        }
        Ok(Self { lost: entries.into() })
    }

    /// Whether the packet numbered `index` is lost.
    pub fn loses(&self, index: u64) -> bool {
        self.lost[(index % self.lost.len() as u64) as usize]
    }

    /// The recording, one entry per packet; never empty.
    pub fn lost(&self) -> &[bool] {
        &self.lost
    }
}

/// Why a text is no recording of losses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LossTraceError {
    /// Something else than 0 and 1.
    #[error("line {line}, column {column}: expected 0 or 1, got {got:?}")]
    Character {
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What stands there.
        got: char,
    },
    /// No packet at all.
    #[error("the loss trace holds no packet")]
    Empty,
    /// The polarity is neither 0 nor 1.
    #[error("a lost packet is written as 0 or 1, not as {got:?}")]
    Polarity {
        /// What was asked for.
        got: char,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn either_polarity_can_stand_for_a_loss() {
        let text = "# two lines\n1 0 0 # one\n1\n";
        assert_eq!(LossTrace::parse(text, '1').unwrap().lost(), [true, false, false, true]);
        assert_eq!(LossTrace::parse(text, '0').unwrap().lost(), [false, true, true, false]);
    }

    #[test]
    fn a_recording_repeats_at_its_end() {
        let trace = LossTrace::parse("100", '1').unwrap();
        let lost: Vec<u64> = (0..7).filter(|&index| trace.loses(index)).collect();
        assert_eq!(lost, [0, 3, 6]);
    }

    #[test]
    fn errors_say_where_they_are() {
        let error = LossTrace::parse("0101\n01x1", '1').unwrap_err();
        assert_eq!(error, LossTraceError::Character { line: 2, column: 3, got: 'x' });
        assert_eq!(error.to_string(), "line 2, column 3: expected 0 or 1, got 'x'");
        assert_eq!(LossTrace::parse("# nothing\n", '1'), Err(LossTraceError::Empty));
        assert_eq!(LossTrace::parse("01", 'x'), Err(LossTraceError::Polarity { got: 'x' }));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_recording_or_a_reason(text in "[01# \n\\PC]*", lost: char) {
            let _ = LossTrace::parse(&text, lost);
        }
    }
}
