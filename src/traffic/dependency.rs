//! What a frame refers to, and what the sending side does about frames that went missing: the same
//! rules whatever the transport.
//!
//! - *Independent*: every frame is a whole picture; a missing one is forgotten.
//! - *Chain*: every frame changes the picture of the one before. A missing frame makes the next one a
//!   refresh: a key frame, at least as large as the frame it stands for.
//! - *Regions*: every update overwrites tiles. The tiles of a missing update that no later one has
//!   overwritten are sent again with the next, at the bytes a tile that they had.
//!
//! A frame that went missing before a refresh, or whose tiles later updates carried, costs nothing
//! more: requests for it come too late and are ignored.

use super::DependencyKind;
use super::damage::Damage;
use super::head::Head;
use super::updates::Update;
use crate::frame::{FrameId, Priority, Regions};
use crate::rng::Stream;

/// A frame's make-up before the encoder has scaled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Composed {
    pub(super) bytes: u64,
    pub(super) head: Head,
    pub(super) priority: Priority,
    pub(super) regions: Regions,
    pub(super) again: Regions,
}

/// What the sending application remembers of the frames that it sent.
#[derive(Debug)]
pub(super) enum Dependency {
    Independent,
    Chain(Chain),
    Regions(Box<Tiles>),
}

impl Dependency {
    pub(super) fn new(kind: DependencyKind, damage: Stream) -> Self {
        match kind {
            DependencyKind::Independent => Self::Independent,
            DependencyKind::Chain => Self::Chain(Chain::default()),
            DependencyKind::Regions => Self::Regions(Box::new(Tiles::new(damage))),
        }
    }

    /// Composes the frame `id` from the update that is due; from none where only a repair is. A whole
    /// screen costs `screen_bytes` at present.
    pub(super) fn compose(&mut self, id: FrameId, update: Option<Update>, screen_bytes: u32) -> Composed {
        match self {
            Self::Independent => Composed {
                bytes: u64::from(update.map_or(screen_bytes, |update| update.bytes)),
                head: Head::Whole,
                priority: Priority::Delta,
                regions: Regions::ALL,
                again: Regions::NONE,
            },
            Self::Chain(chain) => chain.compose(id, update, screen_bytes),
            Self::Regions(tiles) => tiles.compose(id, update, screen_bytes),
        }
    }

    /// The viewer will not have the frame `id`.
    pub(super) fn handle_missing(&mut self, id: FrameId) {
        match self {
            Self::Independent => {}
            Self::Chain(chain) => chain.refresh_due |= chain.refresh.is_some_and(|refresh| id >= refresh),
            Self::Regions(tiles) => tiles.handle_missing(id),
        }
    }

    /// Whether the next frame repairs something, so that it should not wait for the next update.
    pub(super) fn repair_due(&self) -> bool {
        match self {
            Self::Independent => false,
            Self::Chain(chain) => chain.refresh_due,
            Self::Regions(tiles) => !tiles.missing.is_empty(),
        }
    }
}

/// The sending side of a chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    previous: Option<FrameId>,
    /// The newest frame that refers to no other.
    refresh: Option<FrameId>,
    refresh_due: bool,
}

impl Chain {
    fn compose(&mut self, id: FrameId, update: Option<Update>, screen_bytes: u32) -> Composed {
        let bytes = update.map_or(screen_bytes, |update| update.bytes);
        let traced_key = update.is_some_and(|update| update.key);
        let (head, bytes) = match self.previous {
            Some(reference) if !traced_key && !self.refresh_due && update.is_some() => {
                (Head::Delta { reference }, bytes)
            }
            _ if traced_key => (Head::Whole, bytes),
            _ => (Head::Whole, bytes.max(screen_bytes)),
        };
        self.previous = Some(id);
        let key = head == Head::Whole;
        if key {
            self.refresh = Some(id);
            self.refresh_due = false;
        }
        Composed {
            bytes: u64::from(bytes),
            head,
            priority: if key { Priority::Key } else { Priority::Delta },
            regions: Regions::ALL,
            again: Regions::NONE,
        }
    }
}

/// The sending side of regions: of every tile, the frame that carried it last and what it cost.
#[derive(Debug)]
pub(super) struct Tiles {
    damage: Damage,
    carried_by: [Option<FrameId>; Regions::COUNT as usize],
    bytes: [u32; Regions::COUNT as usize],
    /// The tiles that the viewer misses and no frame has carried since.
    missing: Regions,
}

impl Tiles {
    fn new(damage: Stream) -> Self {
        Self {
            damage: Damage::new(damage),
            carried_by: [None; Regions::COUNT as usize],
            bytes: [0; Regions::COUNT as usize],
            missing: Regions::NONE,
        }
    }

    fn compose(&mut self, id: FrameId, update: Option<Update>, screen_bytes: u32) -> Composed {
        let fresh = update.map_or(Regions::NONE, |update| {
            let fresh = self.damage.next(tiles_of(update, screen_bytes));
            for tile in fresh.iter() {
                self.bytes[tile as usize] = update.bytes.div_ceil(fresh.count());
            }
            fresh
        });
        let again = self.missing & !fresh;
        self.missing = Regions::NONE;
        let again_bytes: u64 = again.iter().map(|tile| u64::from(self.bytes[tile as usize])).sum();
        for tile in (fresh | again).iter() {
            self.carried_by[tile as usize] = Some(id);
        }
        Composed {
            bytes: update.map_or(0, |update| u64::from(update.bytes)) + again_bytes,
            head: Head::Tiles(fresh | again),
            priority: Priority::Delta,
            regions: fresh | again,
            again,
        }
    }

    fn handle_missing(&mut self, id: FrameId) {
        for (tile, carried_by) in (0..).zip(self.carried_by) {
            if carried_by == Some(id) {
                self.missing = self.missing.with(tile);
            }
        }
    }
}

/// How many tiles an update changes: in proportion to its bytes, at least one.
fn tiles_of(update: Update, screen_bytes: u32) -> u32 {
    if update.key {
        return Regions::COUNT;
    }
    let screen_bytes = u64::from(screen_bytes.max(1));
    let tiles = (u64::from(update.bytes) * u64::from(Regions::COUNT) + screen_bytes / 2) / screen_bytes;
    tiles.clamp(1, u64::from(Regions::COUNT)) as u32
}

#[cfg(test)]
mod tests {
    use super::super::test_stream;
    use super::*;

    const SCREEN: u32 = 12_800;

    fn update(bytes: u32) -> Option<Update> {
        Some(Update { bytes, key: false })
    }

    fn dependency(kind: DependencyKind) -> Dependency {
        Dependency::new(kind, test_stream("dependency"))
    }

    #[test]
    fn a_chain_begins_with_a_key_frame_and_refers_back() {
        let mut chain = dependency(DependencyKind::Chain);
        let first = chain.compose(FrameId(0), update(100), SCREEN);
        assert_eq!((first.bytes, first.head, first.priority), (12_800, Head::Whole, Priority::Key));
        let second = chain.compose(FrameId(1), update(100), SCREEN);
        let head = Head::Delta { reference: FrameId(0) };
        assert_eq!((second.bytes, second.head, second.priority), (100, head, Priority::Delta));
        let key = chain.compose(FrameId(2), Some(Update { bytes: 500, key: true }), SCREEN);
        assert_eq!((key.bytes, key.head), (500, Head::Whole));
    }

    #[test]
    fn a_missing_frame_makes_the_next_one_a_refresh_once() {
        let mut chain = dependency(DependencyKind::Chain);
        for id in 0..5 {
            chain.compose(FrameId(id), update(100), SCREEN);
        }
        chain.handle_missing(FrameId(3));
        assert!(chain.repair_due());
        assert_eq!(chain.compose(FrameId(5), update(20_000), SCREEN).bytes, 20_000);
        // Requests for frames before the refresh come a round trip later and cost nothing.
        chain.handle_missing(FrameId(3));
        chain.handle_missing(FrameId(4));
        assert!(!chain.repair_due());
        assert_eq!(chain.compose(FrameId(6), update(100), SCREEN).bytes, 100);
        // That the refresh itself is missing is news.
        chain.handle_missing(FrameId(5));
        assert_eq!(chain.compose(FrameId(7), None, SCREEN).bytes, 12_800);
    }

    #[test]
    fn independent_frames_forget_what_is_missing() {
        let mut independent = dependency(DependencyKind::Independent);
        independent.compose(FrameId(0), update(100), SCREEN);
        independent.handle_missing(FrameId(0));
        assert!(!independent.repair_due());
    }

    #[test]
    fn an_update_changes_tiles_in_proportion_to_its_bytes() {
        let tiles = |bytes| tiles_of(Update { bytes, key: false }, SCREEN);
        assert_eq!([1, 100, 149, 150, 6_400, 90_000].map(tiles), [1, 1, 1, 2, 64, 128]);
        assert_eq!(tiles_of(Update { bytes: 5, key: true }, SCREEN), 128);
    }

    #[test]
    fn lost_tiles_are_sent_again_at_their_bytes_unless_overwritten() {
        let mut regions = dependency(DependencyKind::Regions);
        let lost = regions.compose(FrameId(0), update(6_400), SCREEN);
        assert_eq!(lost.regions.count(), 64);
        let after = regions.compose(FrameId(1), update(300), SCREEN);
        regions.handle_missing(FrameId(0));
        regions.handle_missing(FrameId(0));
        let repair = regions.compose(FrameId(2), update(200), SCREEN);
        let fresh = repair.regions & !repair.again;
        assert_eq!(fresh.count(), 2);
        assert_eq!(repair.again, lost.regions & !after.regions & !fresh);
        assert_eq!(repair.bytes, 200 + 100 * u64::from(repair.again.count()));
        assert_eq!(repair.head, Head::Tiles(repair.regions));
        // All of it has been carried since.
        regions.handle_missing(FrameId(0));
        assert!(!regions.repair_due());
        // What repaired it is missing as well: everything that it carried last goes again.
        regions.handle_missing(FrameId(2));
        let second = regions.compose(FrameId(3), None, SCREEN);
        assert_eq!((second.regions, second.again), (repair.regions, repair.regions));
        assert_eq!(second.bytes, repair.bytes);
    }

    #[test]
    fn a_frame_that_was_never_sent_is_not_missing() {
        let mut regions = dependency(DependencyKind::Regions);
        regions.compose(FrameId(0), update(100), SCREEN);
        regions.handle_missing(FrameId(9));
        assert!(!regions.repair_due());
    }
}
