//! Scenarios: what a person writes, what is wrong with it, and what it means.
//!
//! | step | file |
//! | --- | --- |
//! | texts with their places | `source` |
//! | a tree, with the overrides of the command line | `parse`, `lineup`, `overrides`, `alternatives` |
//! | typed keys, each with its place | `file`, `place`, `quantity` |
//! | ranges, names, rules | `check`, `expect` |
//! | what it means | `lower` |
//! | what is hardly meant | `warn` |
//! | errors as rustc draws them | `problem`, `nearest` |

mod alternatives;
pub mod built_in;
mod check;
pub mod expect;
pub mod file;
mod lineup;
mod lower;
mod nearest;
mod overrides;
mod parse;
pub mod place;
pub mod problem;
pub mod quantity;
pub mod source;
mod warn;

pub use check::rules;
pub use lineup::Lineup;
pub use lower::{Contender, Directions, Neighbour, Protocol, Scenario};
pub use nearest::nearest;
pub use parse::{Draft, parse, parse_lineup};
pub use warn::warnings;
