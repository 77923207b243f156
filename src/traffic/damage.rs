//! Which tiles of the screen an update changes.
//!
//! Frame-size traces say how much changes, not where. A desktop changes in one place for a while: in
//! the window that is worked in, from the caret on. So an update's tiles are one block of rows that
//! starts at a caret; the caret moves on now and then, and sometimes the work moves to another window.
//! Every choice is drawn for the update's number, so it is the same for all contenders.

use crate::frame::Regions;
use crate::rng::{Stream, below, unit};

/// Where on the screen things happen.
#[derive(Debug)]
pub(super) struct Damage {
    stream: Stream,
    updates: u64,
    /// The window that is worked in, in tiles, and how far the caret is in it, row by row.
    left: u32,
    top: u32,
    columns: u32,
    rows: u32,
    caret: u32,
}

impl Damage {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, updates: 0, left: 0, top: 0, columns: 1, rows: 1, caret: 0 }
    }

    /// The `count` tiles (from 1 to [`Regions::COUNT`]; clamped) that the next update changes.
    pub(super) fn next(&mut self, count: u32) -> Regions {
        let mut draws = self.stream.at(self.updates);
        let move_draw = unit(&mut draws);
        if self.updates == 0 || move_draw < NEW_WINDOW {
            self.columns = 4 + below(&mut draws, 7) as u32;
            self.rows = 3 + below(&mut draws, 4) as u32;
            self.left = below(&mut draws, u64::from(Regions::COLUMNS - self.columns + 1)) as u32;
            self.top = below(&mut draws, u64::from(Regions::ROWS - self.rows + 1)) as u32;
            self.caret = 0;
        } else if move_draw < NEW_WINDOW + CARET_STEP {
            self.caret = (self.caret + 1) % (self.columns * self.rows);
        }
        self.updates += 1;
        let (column, row) = (self.left + self.caret % self.columns, self.top + self.caret / self.columns);
        block(column, row, count.clamp(1, Regions::COUNT))
    }
}

/// `count` tiles, filled row by row into a block about twice as wide as high that starts at this tile,
/// or as near to it as the block fits on the screen.
fn block(column: u32, row: u32, count: u32) -> Regions {
    let width = (1..=Regions::COLUMNS).find(|width| width * width >= 2 * count).unwrap_or(Regions::COLUMNS);
    let width = width.min(count);
    let left = column.min(Regions::COLUMNS - width);
    let top = row.min(Regions::ROWS - count.div_ceil(width));
    (0..count).fold(Regions::NONE, |tiles, index| {
        tiles.with((top + index / width) * Regions::COLUMNS + left + index % width)
    })
}

/// The chance that the work moves to another window: every eight seconds at 30 updates a second, about
/// as often as windows are changed in the recorded session.
const NEW_WINDOW: f64 = 1.0 / 256.0;

/// The chance that the caret moves on by a tile (80 pixels of a screen 1280 wide, some ten characters):
/// every two seconds at five characters a second and 30 updates a second.
const CARET_STEP: f64 = 1.0 / 64.0;

#[cfg(test)]
mod tests {
    use super::super::test_stream;
    use super::*;

    #[test]
    fn a_block_has_its_count_everywhere() {
        for count in 1..=Regions::COUNT {
            for (column, row) in [(0, 0), (15, 7), (7, 3)] {
                assert_eq!(block(column, row, count).count(), count, "{count} tiles at {column}, {row}");
            }
        }
    }

    #[test]
    fn a_block_is_contiguous() {
        for count in 1..=Regions::COUNT {
            let tiles = block(9, 5, count);
            let first = tiles.iter().next().unwrap();
            let mut reached = Regions::NONE.with(first);
            for _ in 0..Regions::COUNT {
                for tile in reached.iter() {
                    let column = tile % Regions::COLUMNS;
                    let neighbors = [
                        (column > 0).then(|| tile - 1),
                        (column + 1 < Regions::COLUMNS).then(|| tile + 1),
                        tile.checked_sub(Regions::COLUMNS),
                        Some(tile + Regions::COLUMNS).filter(|&tile| tile < Regions::COUNT),
                    ];
                    for tile in neighbors.into_iter().flatten().filter(|&tile| tiles.contains(tile)) {
                        reached = reached.with(tile);
                    }
                }
                if reached == tiles {
                    break;
                }
            }
            assert_eq!(reached, tiles, "{count} tiles hang together");
        }
    }

    #[test]
    fn small_updates_stay_where_they_are_for_a_while_and_move_on() {
        let mut damage = Damage::new(test_stream("damage"));
        let tiles: Vec<_> = (0..3000).map(|_| damage.next(1)).collect();
        let moves = tiles.windows(2).filter(|pair| pair[0] != pair[1]).count();
        // 3000 updates at a chance of 5/256 are 59 moves, deviation 7.6; five of them are allowed.
        assert!((21..=97).contains(&moves), "{moves}");
        let union = tiles.iter().fold(Regions::NONE, |union, &tiles| union | tiles);
        assert!(union.count() > 10, "{}", union.count());
    }
}
