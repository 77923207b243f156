//! Parity: over rows, over columns, and over both with iterative decoding.
//!
//! A row of k with its parity packet is a block of which any k packets are enough: at independent loss
//! e the residual loss is e·(1 − (1 − e)^k). So is a column, of which the packets are as far apart as
//! there are columns.
//!
//! With both, iterative decoding (RFC 8627 section 6.3.4) repairs a row or column that misses one
//! packet until there is none. Read the matrix as a graph: rows and columns are its vertices, a lost
//! source packet joins its row with its column, and a lost parity packet joins its row or column with
//! an apex. Repair then takes the edges of vertices of degree one away, the apex excepted, and what
//! stays is the graph's 2-core. Of the rest every component is a tree, which stands alone or hangs by
//! one edge on the core or the apex, and trees of bipartite graphs are counted (K(i, j) has
//! i^(j−1)·j^(i−1) spanning trees). Taking what is not core from all graphs leaves the number of cores
//! of each size, in whole numbers, and from these the residual loss on independent losses exactly. The
//! counting is our own; tests hold it to decoding of every pattern.

use super::{Channel, block};
use crate::units::Probability;

/// The most packets of a matrix, parity included, for which counts fit into 127 bits with all factors.
const PACKETS_MAX: usize = 120;

/// The residual loss of parity over rows of `k` packets in a row.
pub fn row(channel: &Channel, k: usize) -> f64 {
    block::residual(channel, k, 1)
}

/// The residual loss of parity over the columns of a matrix that is filled row by row, parity packets
/// behind it in the turns of the columns.
pub fn column(channel: &Channel, columns: u32, rows: usize) -> f64 {
    block::residual(&channel.every(columns), rows, 1)
}

/// The residual loss on independent losses of a matrix with a parity packet for each row and each
/// column, decoded by iteration.
///
/// None where matrix and parity packets are more than 120 together: patterns are too many to be counted
/// in 127 bits. Counting takes up to a fifth of a second for the largest matrix, and fifteen milliseconds for
/// 10×5.
pub fn two_dimensional(loss: Probability, columns: usize, rows: usize) -> Option<f64> {
    let packets = columns * rows + columns + rows;
    if packets > PACKETS_MAX || columns * rows == 0 {
        return None;
    }
    let e = loss.get();
    let chance = |lost: usize| libm::pow(e, lost as f64) * libm::pow(1.0 - e, (packets - lost) as f64);
    let left = left_after_repair(rows, columns);
    let sources = (columns * rows) as f64;
    Some(left.iter().enumerate().map(|(lost, &left)| left as f64 * chance(lost)).sum::<f64>() / sources)
}

/// How many source packets stay lost, over all patterns of so many lost packets.
fn left_after_repair(rows: usize, columns: usize) -> Vec<i128> {
    let mut left = vec![0; rows * columns + rows + columns + 1];
    // By rows and columns in the core: the cores themselves, and what may surround them.
    let mut known: Vec<(usize, usize, Graphs, Vec<Vec<Graphs>>)> = Vec::new();
    for a in 0..=rows {
        for b in 0..=columns {
            let mut core = Graphs::all(a, b);
            for (x, y, smaller, around) in known.iter().filter(|(_, y, ..)| *y <= b) {
                let ways = choose(a, *x) * choose(b, *y);
                core.subtract(&smaller.beside(&around[a - x][b - y], ways));
            }
            let around = forests(a, b, rows - a, columns - b);
            let ways = choose(rows, a) * choose(columns, b);
            core.add_sources_beside(&around[rows - a][columns - b], ways, &mut left);
            known.push((a, b, core, around));
        }
    }
    left
}

/// The graphs that may surround a core of `a` rows, `b` columns and the apex, on up to `rows` rows and
/// `columns` columns more.
fn forests(a: usize, b: usize, rows: usize, columns: usize) -> Vec<Vec<Graphs>> {
    let mut found = vec![vec![Graphs::none(); columns + 1]; rows + 1];
    for x in 0..=rows {
        for y in 0..=columns {
            if (x, y) == (0, 0) {
                found[0][0] = Graphs::all(0, 0);
                continue;
            }
            // The component of the first row, or of the first column where there is no row.
            let mut sum = Graphs::none();
            for (i, j) in (0..=x).flat_map(|i| (0..=y).map(move |j| (i, j))) {
                let ways = match (i, j) {
                    (0, 1) if x == 0 => 1,
                    (0, _) => continue,
                    _ => choose(x - 1, i - 1) * choose(y, j),
                };
                sum.add(&found[x - i][y - j].beside(&trees(i, j, a, b), ways));
            }
            found[x][y] = sum;
        }
    }
    found
}

/// The trees on `i` rows and `j` columns that stand alone, or hang by one edge on one of `a` rows and
/// `b` columns or on the apex.
fn trees(i: usize, j: usize, a: usize, b: usize) -> Graphs {
    let spanning = match (i, j) {
        (1, 0) | (0, 1) => 1,
        (0, _) | (_, 0) => return Graphs::none(),
        _ => (i as i128).pow(j as u32 - 1) * (j as i128).pow(i as u32 - 1),
    };
    let edges = i + j - 1;
    let (by_source, by_parity) = ((i * b + j * a) as i128, (i + j) as i128);
    let mut trees = vec![Edges::default(); edges + 2];
    trees[edges] = Edges { graphs: spanning, sources: spanning * edges as i128 };
    trees[edges + 1] = Edges {
        graphs: spanning * (by_source + by_parity),
        sources: spanning * (by_source * (edges as i128 + 1) + by_parity * edges as i128),
    };
    Graphs(trees)
}

/// A set of graphs, sorted by how many edges they have.
#[derive(Clone, Debug)]
struct Graphs(Vec<Edges>);

/// The graphs of a number of edges.
#[derive(Clone, Copy, Debug, Default)]
struct Edges {
    graphs: i128,
    /// How many source packets are lost in all of them together.
    sources: i128,
}

impl Graphs {
    const fn none() -> Self {
        Self(Vec::new())
    }

    /// All graphs on `rows` rows, `columns` columns and the apex.
    fn all(rows: usize, columns: usize) -> Self {
        let sources = rows * columns;
        let packets = sources + rows + columns;
        let with = |edges: usize| Edges {
            graphs: choose(packets, edges),
            sources: if sources * edges == 0 { 0 } else { sources as i128 * choose(packets - 1, edges - 1) },
        };
        Self((0..=packets).map(with).collect())
    }

    /// Each graph of one set beside each of another, in so many `ways`.
    fn beside(&self, other: &Self, ways: i128) -> Self {
        let length = (self.0.len() + other.0.len()).saturating_sub(1);
        let mut both = vec![Edges::default(); length];
        for (i, left) in self.0.iter().enumerate() {
            for (j, right) in other.0.iter().enumerate() {
                both[i + j].graphs += ways * left.graphs * right.graphs;
                both[i + j].sources += ways * (left.graphs * right.sources + left.sources * right.graphs);
            }
        }
        Self(both)
    }

    /// Adds the source packets of each graph of this set, beside each graph of another in so many `ways`,
    /// by the number of edges.
    fn add_sources_beside(&self, other: &Self, ways: i128, sum: &mut [i128]) {
        for (i, left) in self.0.iter().enumerate() {
            for (j, right) in other.0.iter().enumerate() {
                sum[i + j] += ways * left.sources * right.graphs;
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), Edges::default());
        for (edges, more) in self.0.iter_mut().zip(&other.0) {
            edges.graphs += more.graphs;
            edges.sources += more.sources;
        }
    }

    /// Takes away graphs that are all among these.
    fn subtract(&mut self, other: &Self) {
        for (edges, less) in self.0.iter_mut().zip(&other.0) {
            edges.graphs -= less.graphs;
            edges.sources -= less.sources;
        }
    }
}

/// In how many ways `j` of `n` may be chosen.
fn choose(n: usize, j: usize) -> i128 {
    // Each product is a binomial number times at most j, so that it fits if n is 120 at most.
    (0..j.min(n - j)).fold(1, |ways, i| ways * (n - i) as i128 / (i + 1) as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(p: f64) -> Probability {
        Probability::new(p).unwrap()
    }

    /// The source packets that iterative decoding leaves, of a matrix of which these packets are lost:
    /// bits row by row, then the rows' parity packets, then the columns'.
    fn decode(mut lost: u32, rows: usize, columns: usize) -> u32 {
        let sources = rows * columns;
        let row = |row: usize| (((1 << columns) - 1) << (row * columns), 1 << (sources + row));
        let column = |column: usize| {
            let members = (0..rows).map(|row| 1 << (row * columns + column)).sum::<u32>();
            (members, 1 << (sources + rows + column))
        };
        let checks: Vec<(u32, u32)> = (0..rows).map(row).chain((0..columns).map(column)).collect();
        loop {
            let before = lost;
            for (members, parity) in &checks {
                if lost & parity == 0 && (lost & members).count_ones() == 1 {
                    lost &= !members;
                }
            }
            if lost == before {
                return lost & ((1 << sources) - 1);
            }
        }
    }

    #[test]
    fn the_count_of_cores_is_that_of_decoding_every_pattern() {
        for (rows, columns) in [(1, 1), (1, 4), (2, 2), (3, 2), (2, 4), (3, 3), (3, 4)] {
            let packets = rows * columns + rows + columns;
            let mut left = vec![0_i128; packets + 1];
            for lost in 0..1_u32 << packets {
                left[lost.count_ones() as usize] += i128::from(decode(lost, rows, columns).count_ones());
            }
            assert_eq!(left_after_repair(rows, columns), left, "{rows} rows, {columns} columns");
        }
    }

    #[test]
    fn a_large_matrix_is_left_what_its_smallest_patterns_leave() {
        // Three losses that stay: a source packet with both its parity packets. Four: a rectangle, and
        // two packets of a row or column with the parity packets of the other two directions.
        let (rows, columns, e) = (5, 10, 1e-4_f64);
        let left = left_after_repair(rows, columns);
        assert_eq!(left[..4], [0, 0, 0, 50]);
        let expected = e.powi(3);
        let residual = two_dimensional(share(e), columns, rows).unwrap();
        assert!((residual / expected - 1.0).abs() < 0.05, "{residual:e}");
    }

    #[test]
    fn everything_lost_stays_lost_and_a_matrix_too_large_has_no_count() {
        assert_eq!(two_dimensional(Probability::ONE, 4, 4), Some(1.0));
        assert_eq!(two_dimensional(Probability::ZERO, 10, 10), Some(0.0));
        assert_eq!(two_dimensional(share(0.1), 11, 10), None);
        assert_eq!(two_dimensional(share(0.1), 0, 10), None);
    }

    #[test]
    fn a_row_loses_what_has_company() {
        let (e, k) = (0.05_f64, 4);
        let expected = e * (1.0 - (1.0 - e).powi(k));
        assert!((row(&Channel::independent(share(e)), k as usize) / expected - 1.0).abs() < 1e-12);
    }
}
