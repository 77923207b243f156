//! Summaries from records.
