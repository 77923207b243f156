//! The linear system of a receiver: what repair packets say about source packets that are missing.
//!
//! One column for each unknown source packet, one row for each repair packet that says something new.
//! Rows are kept in reduced echelon form, the oldest unknown leading: the first coefficient of a row is
//! 1, and its column has zeros in all other rows. So a packet is determined exactly when a row has
//! nothing but its leading 1, and giving up the oldest unknown costs the row that it leads and no other.
//!
//! Contents are left alone until a packet is determined. A row remembers which combination of repair
//! packets it is, and one matrix product over repair packets and known source packets computes what
//! several rows have determined at the same time.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::fec::Symbol;
use crate::fec::gf256::{self, inv};
use crate::fec::sources::Sources;

/// The system.
#[derive(Debug)]
pub(super) struct System<S> {
    /// The ESIs of the columns, in order.
    unknowns: Vec<u32>,
    /// Rows by the column that they lead, in order.
    rows: Vec<Row>,
    /// What rows are combinations of; nothing where there are no contents.
    equations: Vec<Equation<S>>,
}

#[derive(Clone, Debug)]
struct Row {
    /// The coefficient of each unknown.
    coefficients: Vec<u8>,
    /// How often each equation is in it.
    factors: Vec<u8>,
}

/// A repair symbol, and of what it is the sum.
#[derive(Debug)]
pub(super) struct Equation<S> {
    /// The ESI of its first source packet.
    pub(super) first: u32,
    /// The coefficients of this and the following source packets.
    pub(super) coefficients: Vec<u8>,
    /// The sum.
    pub(super) symbol: S,
}

impl Row {
    /// The column that it leads; none where it says nothing.
    fn pivot(&self) -> Option<usize> {
        self.coefficients.iter().position(|&coefficient| coefficient != 0)
    }

    /// Whether it determines what it leads.
    fn determines(&self) -> bool {
        self.coefficients.iter().filter(|&&coefficient| coefficient != 0).take(2).count() == 1
    }

    /// Adds a multiple of another row, so that `column`, which that one leads, becomes zero.
    fn clear(&mut self, column: usize, leader: &Self) {
        let factor = self.coefficients[column];
        if factor != 0 {
            gf256::add_scaled(&mut self.coefficients, factor, &leader.coefficients);
            gf256::add_scaled(&mut self.factors, factor, &leader.factors);
        }
    }

    fn scale(&mut self, factor: u8) {
        for value in self.coefficients.iter_mut().chain(&mut self.factors) {
            *value = gf256::mul(*value, factor);
        }
    }
}

impl<S: Symbol> System<S> {
    pub(super) const fn new() -> Self {
        Self { unknowns: Vec::new(), rows: Vec::new(), equations: Vec::new() }
    }

    /// Takes what a repair packet says about `unknowns` (their ESIs in order, and coefficients that are
    /// not zero). Whether it is anything new. `equation` is asked for the whole of it only then, and
    /// only where there are contents.
    pub(super) fn add(&mut self, unknowns: &[(u32, u8)], equation: impl FnOnce() -> Equation<S>) -> bool {
        for &(esi, _) in unknowns {
            self.open_column(esi);
        }
        let mut row = Row { coefficients: vec![0; self.unknowns.len()], factors: Vec::new() };
        for &(esi, coefficient) in unknowns {
            row.coefficients[self.column(esi).expect("opened above")] = coefficient;
        }
        if S::CONTENTS {
            row.factors.resize(self.equations.len() + 1, 0);
            row.factors[self.equations.len()] = 1;
        }
        self.reduce(&mut row);
        if row.pivot().is_none() {
            return false;
        }
        if S::CONTENTS {
            self.push_equation(equation());
        }
        self.insert(row);
        true
    }

    /// A source packet is known now, however that came. Whether it was an unknown here.
    pub(super) fn learn(&mut self, esi: u32) -> bool {
        let Some(column) = self.column(esi) else { return false };
        let led = self.rows.iter().position(|row| row.pivot() == Some(column));
        let led = led.map(|place| self.rows.remove(place));
        self.unknowns.remove(column);
        for row in &mut self.rows {
            row.coefficients.remove(column);
        }
        if let Some(mut row) = led {
            // It determined more than this one, or it would have been taken out before.
            row.coefficients.remove(column);
            self.insert(row);
        }
        true
    }

    /// Takes out what is determined, with its contents.
    pub(super) fn take_determined(&mut self, sources: &Sources<S>) -> Vec<(u32, S)> {
        if !self.rows.iter().any(Row::determines) {
            return Vec::new();
        }
        let (determined, rest): (Vec<Row>, Vec<Row>) =
            std::mem::take(&mut self.rows).into_iter().partition(Row::determines);
        self.rows = rest;
        let esis = determined.iter().filter_map(|row| Some(self.unknowns[row.pivot()?]));
        let esis: Vec<u32> = esis.collect();
        let symbols = self.compute(&determined, sources);
        self.prune();
        esis.into_iter().zip(symbols).collect()
    }

    /// Gives up the unknowns below `esi`, and says how many rows that cost.
    pub(super) fn give_up_below(&mut self, esi: u32) -> usize {
        self.give_up(self.unknowns.partition_point(|&unknown| unknown < esi))
    }

    /// Gives up the oldest unknowns until `most` are left, and says how many rows that cost.
    pub(super) fn keep_bound(&mut self, most: usize) -> usize {
        self.give_up(self.unknowns.len().saturating_sub(most))
    }

    /// Contents below `esi` are about to go: rows that need them are computed as far as they can be.
    pub(super) fn detach(&mut self, esi: u32, sources: &Sources<S>) {
        let old: Vec<usize> =
            (0..self.equations.len()).filter(|&place| self.equations[place].first < esi).collect();
        if old.is_empty() {
            return;
        }
        let (needy, mut rest): (Vec<Row>, Vec<Row>) = std::mem::take(&mut self.rows)
            .into_iter()
            .partition(|row| old.iter().any(|&place| row.factors[place] != 0));
        for (symbol, mut row) in self.compute(&needy, sources).into_iter().zip(needy) {
            let equation = self.remainder(&row, symbol);
            row.factors.fill(0);
            row.factors.resize(self.equations.len(), 0);
            row.factors.push(1);
            self.equations.push(equation);
            rest.push(row);
        }
        for row in &mut rest {
            row.factors.resize(self.equations.len(), 0);
        }
        rest.sort_by_key(Row::pivot);
        self.rows = rest;
        self.prune();
    }

    /// Whether a source packet is an unknown here.
    pub(super) fn has(&self, esi: u32) -> bool {
        self.column(esi).is_some()
    }

    /// How many unknowns there are.
    #[cfg(test)]
    pub(super) fn width(&self) -> usize {
        self.unknowns.len()
    }

    /// How many equations are held: perhaps more than there are rows, since what determined a packet is
    /// part of other rows too.
    pub(super) fn equations(&self) -> usize {
        self.equations.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.unknowns.is_empty() && self.rows.is_empty() && self.equations.is_empty()
    }

    /// For each part of the system that stands on its own, leaving out unknowns below `esi`: from where
    /// to where it reaches, and how many rows it lacks.
    pub(super) fn deficits(&self, esi: u32) -> Vec<(RangeInclusive<u32>, u16)> {
        let below = self.unknowns.partition_point(|&unknown| unknown < esi);
        let mut parts: Vec<(usize, usize, usize)> = Vec::new();
        for row in &self.rows {
            let Some(first) = row.pivot() else { continue };
            let last = row.coefficients.iter().rposition(|&coefficient| coefficient != 0).unwrap_or(first);
            let leads = usize::from(first >= below);
            match parts.last_mut() {
                Some((_, end, rows)) if first <= *end => {
                    (*end, *rows) = (last.max(*end), *rows + leads);
                }
                _ => parts.push((first, last, leads)),
            }
        }
        parts
            .into_iter()
            .filter(|&(_, last, _)| last >= below)
            .map(|(first, last, rows)| {
                let first = first.max(below);
                let lacking = last + 1 - first - rows;
                (self.unknowns[first]..=self.unknowns[last], u16::try_from(lacking).unwrap_or(u16::MAX))
            })
            .collect()
    }

    /// Gives up the oldest `columns` unknowns: rows that they do not lead have zeros there.
    fn give_up(&mut self, columns: usize) -> usize {
        let lost = self.rows.partition_point(|row| row.pivot() < Some(columns));
        if lost > 0 {
            self.rows.drain(..lost);
            self.prune();
        }
        lost
    }

    /// Takes the columns that rows lead out of `row`.
    fn reduce(&self, row: &mut Row) {
        for leader in &self.rows {
            if let Some(column) = leader.pivot() {
                row.clear(column, leader);
            }
        }
    }

    /// Puts in a row that is reduced and says something.
    fn insert(&mut self, mut row: Row) {
        let Some(column) = row.pivot() else { return };
        row.scale(inv(row.coefficients[column]));
        for other in &mut self.rows {
            other.clear(column, &row);
        }
        let place = self.rows.partition_point(|other| other.pivot() < Some(column));
        self.rows.insert(place, row);
    }

    fn push_equation(&mut self, equation: Equation<S>) {
        self.equations.push(equation);
        for row in &mut self.rows {
            row.factors.push(0);
        }
    }

    /// What is left of the equations in `row` when its known source packets are taken out.
    fn remainder(&self, row: &Row, symbol: S) -> Equation<S> {
        let terms = || self.unknowns.iter().zip(&row.coefficients).filter(|(_, c)| **c != 0);
        let first = terms().next().map_or(0, |(&esi, _)| esi);
        let mut coefficients = Vec::new();
        for (&esi, &coefficient) in terms() {
            coefficients.resize((esi - first) as usize, 0);
            coefficients.push(coefficient);
        }
        Equation { first, coefficients, symbol }
    }

    /// The sums of the unknowns in `rows`: their repair packets without the source packets in them that
    /// are known.
    fn compute(&self, rows: &[Row], sources: &Sources<S>) -> Vec<S> {
        if !S::CONTENTS {
            return rows.iter().map(|_| S::from_bytes(Bytes::new())).collect();
        }
        let used: Vec<usize> = (0..self.equations.len())
            .filter(|&place| rows.iter().any(|row| row.factors[place] != 0))
            .collect();
        let equations = || used.iter().map(|&place| &self.equations[place]);
        let first = equations().map(|equation| equation.first).min().unwrap_or(0);
        let reach = |equation: &Equation<S>| (equation.first - first) as usize + equation.coefficients.len();
        let width = equations().map(reach).max().unwrap_or(0);
        let sums: Vec<Vec<u8>> = rows
            .iter()
            .map(|row| {
                let mut sum = vec![0; width];
                for (equation, &place) in equations().zip(&used) {
                    let part = &mut sum[(equation.first - first) as usize..];
                    gf256::add_scaled(part, row.factors[place], &equation.coefficients);
                }
                sum
            })
            .collect();
        let (places, known): (Vec<usize>, Vec<&S>) = (0..width)
            .filter(|&place| sums.iter().any(|sum| sum[place] != 0))
            .filter_map(|place| Some((place, sources.get(first + place as u32)?)))
            .unzip();
        let terms: Vec<&S> = equations().map(|equation| &equation.symbol).chain(known).collect();
        let mut product = Vec::with_capacity(rows.len() * terms.len());
        for (row, sum) in rows.iter().zip(&sums) {
            product.extend(used.iter().map(|&place| row.factors[place]));
            product.extend(places.iter().map(|&place| sum[place]));
        }
        S::combine(&product, &terms)
    }

    /// Takes out the columns and equations that no row has any more.
    fn prune(&mut self) {
        retain(&mut self.unknowns, &mut self.rows, |row| &mut row.coefficients);
        retain(&mut self.equations, &mut self.rows, |row| &mut row.factors);
    }

    fn open_column(&mut self, esi: u32) {
        if let Err(place) = self.unknowns.binary_search(&esi) {
            self.unknowns.insert(place, esi);
            for row in &mut self.rows {
                row.coefficients.insert(place, 0);
            }
        }
    }

    fn column(&self, esi: u32) -> Option<usize> {
        self.unknowns.binary_search(&esi).ok()
    }
}

/// Keeps of `all`, which `values` of the rows are the coefficients of, what any row has.
fn retain<T>(all: &mut Vec<T>, rows: &mut [Row], values: impl Fn(&mut Row) -> &mut Vec<u8>) {
    let mut used = vec![false; all.len()];
    for row in rows.iter_mut() {
        for (used, &value) in used.iter_mut().zip(values(row).iter()) {
            *used |= value != 0;
        }
    }
    if used.iter().all(|&used| used) {
        return;
    }
    keep(all, &used);
    for row in rows {
        keep(values(row), &used);
    }
}

fn keep<T>(all: &mut Vec<T>, used: &[bool]) {
    let mut used = used.iter();
    all.retain(|_| used.next().is_some_and(|&used| used));
}
