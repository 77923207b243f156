//! The laboratory: strategies against each other, over grids of links.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `catalogue` | the strategies by name |
//! | `grid` | every strategy on every link of a grid, paired by seed |
//! | `pareto` | which of them nobody beats on both axes |

pub mod catalogue;
pub mod grid;
pub mod pareto;
