//! The laboratory: strategies against each other, over grids of links.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `catalogue` | the strategies by name |
//! | `expected` | what a strategy should leave by formula |
//! | `grid` | every strategy on every link of a grid, paired by seed |
//! | `pareto` | which of them nobody beats on both axes |
//! | `rank` | codes alone, without contents, for losses too rare for whole sessions |
//! | `refine` | what is one step away from a strategy |
//! | `search` | from the catalogue to a dozen finalists |
//! | `recommend` | the finalists on fresh seeds, a choice and its reason |

pub mod catalogue;
pub mod expected;
pub mod grid;
pub mod pareto;
pub mod rank;
pub mod recommend;
pub mod refine;
pub mod search;
