//! What every code must keep to, tried on every member of [`Scheme::all`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::sliding::{RandomLinear, Rule};
use super::{
    Code, DecodeEvent, Decoder, Encoder, Flush, Halves, LossReport, Protect, Repair, RepairHeader, Scheme,
    SourceMeta, Symbol, unit,
};
use crate::frame::{FrameId, Priority};
use crate::record::{Malformed, RepairFate};
use crate::rng::{Draws, Seed, below};
use crate::time::{Duration, Time};
use crate::units::Bitrate;

/// A packet between an encoder and a decoder.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wire<S> {
    Source(u32, S),
    /// A source packet with repair packets in the same datagram: they are lost together.
    Carrier(u32, S, Vec<Repair<S>>),
    Repair(Repair<S>),
}

impl<S> Wire<S> {
    /// The ESI and symbol of the source packet in it, if there is one.
    pub(super) fn source(&self) -> Option<(u32, &S)> {
        match self {
            Self::Source(esi, symbol) | Self::Carrier(esi, symbol, _) => Some((*esi, symbol)),
            Self::Repair(_) => None,
        }
    }

    /// The repair packets in it.
    pub(super) fn repairs(&self) -> &[Repair<S>] {
        match self {
            Self::Source(..) => &[],
            Self::Carrier(.., riders) => riders,
            Self::Repair(repair) => std::slice::from_ref(repair),
        }
    }

    /// The same packet with other symbols.
    fn map<T>(&self, symbol: impl Fn(&S) -> T) -> Wire<T> {
        let change = |repair: &Repair<S>| Repair { header: repair.header, symbol: symbol(&repair.symbol) };
        match self {
            Self::Source(esi, contents) => Wire::Source(*esi, symbol(contents)),
            Self::Carrier(esi, contents, riders) => {
                Wire::Carrier(*esi, symbol(contents), riders.iter().map(change).collect())
            }
            Self::Repair(repair) => Wire::Repair(change(repair)),
        }
    }
}

/// Frames of 1, 2, 3, … 40 packets and then from 1 again, every eighth one a key and another one input.
pub(super) fn meta(esi: u32) -> SourceMeta {
    let (mut frame, mut rest) = (0, esi);
    while rest > frame % 40 {
        rest -= frame % 40 + 1;
        frame += 1;
    }
    SourceMeta {
        esi,
        frame: FrameId(frame),
        frame_end: rest == frame % 40,
        priority: match frame % 8 {
            2 => Priority::Key,
            5 => Priority::Input,
            _ => Priority::Delta,
        },
        deadline: Time::NEVER,
        size: 1200,
    }
}

/// A report that makes codes protect what they can: a tenth lost, a long round trip, room to send more.
const LOSSY: LossReport = LossReport {
    expected: 10_000,
    lost: 1_000,
    residual: 100,
    runs: [500, 150, 60, 0, 0, 0, 0, 0],
    deficit_max: 2,
    round_trip: Some(Duration::from_millis(300)),
    queue: Duration::ZERO,
    spare: Some(Bitrate::from_bps(100_000_000)),
    load: Bitrate::from_bps(10_000_000),
    retransmits: true,
};

/// Source packets 0 to `count` − 1, and the repair packets between and behind them. There are 100 µs
/// between source packets, and a pause of 30 ms before every hundredth. Codes that adapt have heard of two
/// bad seconds before.
pub(super) fn encode<S: Symbol>(
    encoder: &mut dyn Encoder<S>,
    count: u32,
    symbol: impl Fn(u32) -> S,
) -> Vec<Wire<S>> {
    fn drain<S>(encoder: &mut dyn Encoder<S>, now: Time, wire: &mut Vec<Wire<S>>) {
        wire.extend(std::iter::from_fn(|| encoder.poll_repair(now)).map(Wire::Repair));
    }
    let mut wire = Vec::new();
    let mut now = Time::ZERO;
    for _ in 0..2 {
        now += Duration::from_secs(1);
        encoder.handle_report(now, &LOSSY);
    }
    for esi in 0..count {
        now += Duration::from_micros(if esi % 100 == 99 { 30_000 } else { 100 });
        while let Some(due) = encoder.poll_timeout().filter(|&due| due <= now) {
            encoder.handle_timeout(due);
            drain(encoder, due, &mut wire);
        }
        let symbol = symbol(esi);
        match encoder.push_source(now, &meta(esi), &symbol) {
            Protect::Send(riders) if riders.is_empty() => wire.push(Wire::Source(esi, symbol)),
            Protect::Send(riders) => wire.push(Wire::Carrier(esi, symbol, riders)),
            Protect::Hold => {}
        }
        drain(encoder, now, &mut wire);
    }
    encoder.flush(now, Flush::Shutdown);
    drain(encoder, now, &mut wire);
    assert_eq!(encoder.poll_timeout(), None, "nothing waits after the end");
    wire
}

/// What a decoder knows in the end, and what it said on the way.
pub(super) fn decode<'a, S: Symbol>(
    decoder: &mut dyn Decoder<S>,
    wire: impl IntoIterator<Item = &'a Wire<S>>,
) -> (BTreeMap<u32, S>, Vec<DecodeEvent<S>>) {
    let (mut known, mut events) = (BTreeMap::new(), Vec::new());
    for packet in wire {
        if let Some((esi, symbol)) = packet.source() {
            known.entry(esi).or_insert_with(|| symbol.clone());
            decoder.push_source(Time::ZERO, esi, symbol);
        }
        for Repair { header, symbol } in packet.repairs() {
            decoder.push_repair(Time::ZERO, header, symbol).expect("the header is true");
        }
        while let Some(event) = decoder.poll_event() {
            if let DecodeEvent::Recovered { esi, symbol } = &event {
                assert!(known.insert(*esi, symbol.clone()).is_none(), "{esi} was known already");
            }
            events.push(event);
        }
    }
    decoder.expire(u32::MAX);
    events.extend(std::iter::from_fn(|| decoder.poll_event()));
    (known, events)
}

fn settled<S>(events: &[DecodeEvent<S>]) -> usize {
    events.iter().filter(|event| matches!(event, DecodeEvent::Settled(_))).count()
}

/// Contents of many lengths, 0 and 1 among them, no two of them alike.
fn contents(esi: u32) -> Vec<u8> {
    let length = [0, 1, 1200, 2, 37, 300, 1199][esi as usize % 7];
    let mut bytes = vec![0; length];
    rand::Rng::fill_bytes(&mut Seed(9).stream("contents").at(u64::from(esi)), &mut bytes);
    bytes
}

fn encoded(scheme: &Scheme, count: u32) -> Vec<Wire<Bytes>> {
    encode(&mut *scheme.encoder(), count, |esi| unit::seal(&[&contents(esi)]))
}

/// The same packets without their contents.
fn hollow(wire: &[Wire<Bytes>]) -> Vec<Wire<()>> {
    wire.iter().map(|packet| packet.map(|_| ())).collect()
}

/// How many repair packets there are, riders counted.
fn repairs<'a>(wire: impl IntoIterator<Item = &'a Wire<Bytes>>) -> usize {
    wire.into_iter().map(|packet| packet.repairs().len()).sum()
}

/// The places on the wire of each block's packets, and how many of them may be lost. Of two dimensions
/// these are the rows.
fn blocks(scheme: &Scheme, wire: &[Wire<Bytes>]) -> Vec<(Vec<usize>, usize)> {
    // The code that a repair packet is of, its own row, and the distance of the packets of its blocks.
    let code = |header: RepairHeader| match scheme {
        Scheme::Unequal(unequal) => unequal.code(meta(header.first).priority),
        _ => scheme,
    };
    let stride = |header| match code(header) {
        Scheme::Xor(xor) => usize::from(xor.columns()),
        Scheme::ReedSolomon(block) => usize::from(block.interleave()),
        _ => 1,
    };
    let is_column = |header| matches!(code(header), Scheme::Xor2d(_)) && header.row & 1 == 1;
    let mut blocks: BTreeMap<u32, (RepairHeader, Vec<usize>)> = BTreeMap::new();
    for (place, packet) in wire.iter().enumerate() {
        for &Repair { header, .. } in packet.repairs().iter().filter(|repair| !is_column(repair.header)) {
            blocks.entry(header.first).or_insert((header, Vec::new())).1.push(place);
        }
    }
    let place_of = |esi| wire.iter().position(|packet| packet.source().is_some_and(|(e, _)| e == esi));
    let members = |header: RepairHeader| {
        (header.first..header.first + u32::from(header.count)).step_by(stride(header)).filter_map(place_of)
    };
    blocks
        .into_values()
        .map(|(header, repairs)| {
            let count = repairs.len();
            // RaptorQ may need more packets than a block has sources; with two more it fails once in 10^6.
            let budget = if let Scheme::RaptorQ(_) = code(header) {
                count.saturating_sub(2)
            } else {
                assert_eq!(count, usize::from(header.parameter), "the header counts the repair packets");
                count
            };
            (members(header).chain(repairs).collect(), budget)
        })
        .collect()
}

/// For codes with sliding windows: the source packets before each repair packet, and since the one
/// before it, that it combines, and that one of them may be lost: the first loss is the only unknown of
/// its repair packet then, and each further one the only one beside losses before it.
fn windows(rule: impl Rule, wire: &[Wire<Bytes>]) -> Vec<(Vec<usize>, usize)> {
    let mut since: Vec<(u32, usize)> = Vec::new();
    let mut parts = Vec::new();
    for (place, packet) in wire.iter().enumerate() {
        since.extend(packet.source().map(|(esi, _)| (esi, place)));
        for Repair { header, .. } in packet.repairs() {
            let coefficients: Vec<u8> = rule.coefficients(header).take(usize::from(header.count)).collect();
            let combines = |esi: u32| {
                let place = esi.checked_sub(header.first).map(|place| place as usize);
                place.and_then(|place| coefficients.get(place)).is_some_and(|&c| c != 0)
            };
            let part = since.drain(..).filter(|&(esi, _)| combines(esi));
            let part: Vec<usize> = part.map(|(_, place)| place).collect();
            let budget = part.len().min(1);
            parts.push((part, budget));
        }
    }
    parts
}

/// The places on the wire of packets of which only so many may be lost.
fn budgets(scheme: &Scheme, wire: &[Wire<Bytes>]) -> Vec<(Vec<usize>, usize)> {
    match scheme {
        Scheme::Rlc(_) | Scheme::Adaptive(_) => windows(RandomLinear, wire),
        Scheme::Streaming(streaming) => windows(streaming.rule(), wire),
        _ => blocks(scheme, wire),
    }
}

/// Takes `count` random places of a list.
fn pick(places: &mut Vec<usize>, count: usize, draws: &mut Draws) -> Vec<usize> {
    let mut take = |_| places.swap_remove(below(draws, places.len() as u64) as usize);
    (0..count).map(&mut take).collect()
}

/// Erases at random as much of each block or window as the code promises to repair, or less; sends some of what
/// is left twice, and everything in an order that is off by up to 64 packets.
fn disturb(scheme: &Scheme, wire: &[Wire<Bytes>], draws: &mut Draws) -> Vec<usize> {
    let mut lost = BTreeSet::new();
    let blocks = budgets(scheme, wire);
    for (places, budget) in &blocks {
        let count = below(draws, *budget as u64 + 1) as usize;
        for place in pick(&mut places.clone(), count, draws) {
            // Where blocks share packets, the loss counts in each of them.
            lost.insert(place);
            let of = |places: &[usize]| places.iter().filter(|place| lost.contains(place)).count();
            if blocks.iter().any(|(places, budget)| places.contains(&place) && of(places) > *budget) {
                lost.remove(&place);
            }
        }
    }
    let mut arrivals: Vec<(u64, usize)> = Vec::new();
    for place in (0..wire.len()).filter(|place| !lost.contains(place)) {
        let copies = if below(draws, 10) == 0 { 2 } else { 1 };
        arrivals.extend((0..copies).map(|_| (place as u64 + below(draws, 64), place)));
    }
    arrivals.sort_unstable();
    arrivals.into_iter().map(|(_, place)| place).collect()
}

#[test]
fn whatever_is_erased_within_the_budget_comes_back_as_it_was() {
    for scheme in Scheme::all() {
        let wire = encoded(&scheme, 350);
        for round in 0..10 {
            let arrivals = disturb(&scheme, &wire, &mut Seed(round).stream("erasures").at(0));
            let heard: Vec<&Wire<Bytes>> = arrivals.iter().map(|&place| &wire[place]).collect();
            let repairs = repairs(heard.iter().copied());
            let (known, events) = decode(&mut *scheme.decoder(), heard);
            for esi in 0..350 {
                let symbol = known.get(&esi).unwrap_or_else(|| panic!("{scheme}: {esi} is missing"));
                assert_eq!(unit::open(symbol), Ok(contents(esi).into()), "{scheme}: {esi}");
            }
            assert_eq!(settled(&events), repairs, "{scheme}: each repair packet is settled once");
        }
    }
}

#[test]
fn the_twin_without_contents_recovers_exactly_the_same_packets() {
    for scheme in Scheme::all() {
        let wire = encoded(&scheme, 350);
        let twin = encode(&mut *scheme.encoder(), 350, |_| ());
        assert_eq!(hollow(&wire), twin, "{scheme}: the sender");
        // A third of the packets lost, whatever the code can bear.
        for round in 0..5 {
            let mut draws = Seed(round).stream("losses").at(0);
            let arrived: Vec<usize> = (0..wire.len()).filter(|_| below(&mut draws, 3) > 0).collect();
            let (known, events) = decode(&mut *scheme.decoder(), arrived.iter().map(|&place| &wire[place]));
            let (of_twin, events_of_twin) =
                decode(&mut *scheme.decoder(), arrived.iter().map(|&place| &twin[place]));
            assert!(known.keys().eq(of_twin.keys()), "{scheme}");
            let outline = |event: &DecodeEvent<Bytes>| match event {
                DecodeEvent::Recovered { esi, .. } => DecodeEvent::Recovered { esi: *esi, symbol: () },
                DecodeEvent::Settled(fate) => DecodeEvent::Settled(*fate),
            };
            assert_eq!(events.iter().map(outline).collect::<Vec<_>>(), events_of_twin, "{scheme}");
            assert!(known.iter().all(|(&esi, symbol)| unit::open(symbol) == Ok(contents(esi).into())));
        }
    }
}

#[test]
fn whoever_asks_for_what_is_missing_gets_it_or_is_told_that_there_is_none() {
    for scheme in Scheme::all() {
        let (mut encoder, mut decoder) = (scheme.encoder(), scheme.decoder());
        let wire = encode(&mut *encoder, 350, |esi| unit::seal(&[&contents(esi)]));
        let mut draws = Seed(4).stream("losses").at(0);
        for packet in wire.iter().filter(|_| below(&mut draws, 3) > 0) {
            if let Some((esi, symbol)) = packet.source() {
                decoder.push_source(Time::ZERO, esi, symbol);
            }
            for Repair { header, symbol } in packet.repairs() {
                decoder.push_repair(Time::ZERO, header, symbol).expect("the header is true");
            }
        }
        // Codes whose coefficients are drawn may have to be asked again, but hardly three times.
        let mut is_answered = true;
        for _ in 0..4 {
            let mut fresh = Vec::new();
            for (range, count) in decoder.deficit() {
                fresh.extend(encoder.request_repair(Time::ZERO, range, count));
            }
            is_answered = !fresh.is_empty();
            for Repair { header, symbol } in fresh {
                decoder.push_repair(Time::ZERO, &header, &symbol).expect("the header is true");
            }
        }
        let rest = decoder.deficit();
        assert!(rest.is_empty() || !is_answered, "{scheme}: {rest:?} is still missing");
        while let Some(event) = decoder.poll_event() {
            if let DecodeEvent::Recovered { esi, symbol } = event {
                assert_eq!(unit::open(&symbol), Ok(contents(esi).into()), "{scheme}: {esi}");
            }
        }
    }
}

#[test]
fn any_k_of_n_packets_are_enough_and_fewer_are_not() {
    // All blocks of up to 12 packets and all erasures: 2^12 patterns at most for each of 66 codes.
    for n in 2..=12_u32 {
        for k in 1..n {
            let block = super::reed_solomon::PerPackets::new(k, n - k, None).unwrap();
            let wire = encode(&mut block.encoder(), k, |esi| Bytes::from(vec![esi as u8 + 1, 7 * esi as u8]));
            for arrived in 0..1_u32 << n {
                let heard = wire.iter().enumerate().filter(|(i, _)| arrived >> i & 1 == 1).map(|(_, p)| p);
                let (known, _) = decode(&mut block.decoder(), heard);
                let sources = (arrived & ((1 << k) - 1)).count_ones();
                let expected = if arrived.count_ones() >= k { k } else { sources };
                assert_eq!(known.len(), expected as usize, "k {k}, n {n}, arrived {arrived:b}");
                assert!(known.iter().all(|(&esi, s)| s[..] == [esi as u8 + 1, 7 * esi as u8]));
            }
        }
    }
}

/// A symbol that must not be computed with.
#[derive(Clone, Debug, PartialEq)]
struct Untouchable;

impl Symbol for Untouchable {
    fn combine(_: &[u8], _: &[&Self]) -> Vec<Self> {
        panic!("a loss-free stream needs no arithmetic")
    }

    fn to_bytes(&self) -> Bytes {
        panic!("a loss-free stream needs no contents")
    }

    fn from_bytes(_: Bytes) -> Self {
        Self
    }

    fn halves(_: &dyn Code) -> Option<Halves<Self>> {
        None
    }
}

#[test]
fn a_loss_free_stream_in_order_touches_no_symbol_and_needs_no_repair() {
    for scheme in Scheme::all() {
        let sent = encode(&mut *scheme.encoder(), 350, |_| ());
        let wire: Vec<Wire<Untouchable>> = sent.iter().map(|packet| packet.map(|()| Untouchable)).collect();
        let repairs: usize = wire.iter().map(|packet| packet.repairs().len()).sum();
        let (_, events) = decode(&mut *scheme.decoder(), &wire);
        assert!(events.iter().all(|event| *event == DecodeEvent::Settled(RepairFate::Unneeded)));
        assert_eq!(settled(&events), repairs, "{scheme}");
    }
}

#[test]
fn decoders_take_whatever_encoders_make_whose_repair_is_adjusted_on_the_way() {
    for scheme in Scheme::all() {
        for steps in [1, 7, i8::MAX, -1, i8::MIN] {
            let (mut encoder, mut decoder) = (scheme.encoder::<()>(), scheme.decoder::<()>());
            let mut wire = Vec::new();
            for esi in 0..400 {
                if esi == 150 {
                    encoder.adjust_repair(steps);
                }
                let riders = match encoder.push_source(Time::ZERO, &meta(esi), &()) {
                    Protect::Send(riders) => riders,
                    Protect::Hold => Vec::new(),
                };
                wire.push(Wire::Carrier(esi, (), riders));
                wire.extend(std::iter::from_fn(|| encoder.poll_repair(Time::ZERO)).map(Wire::Repair));
            }
            let (known, _) = decode(&mut *decoder, &wire);
            assert_eq!(known.len(), 400, "{scheme}, {steps}");
        }
    }
}

#[test]
fn the_same_sources_always_give_the_same_packets() {
    for scheme in Scheme::all() {
        assert_eq!(encoded(&scheme, 350), encoded(&scheme, 350), "{scheme}");
    }
}

#[test]
fn repair_symbols_are_longer_than_contents_by_the_overhead_at_most() {
    for scheme in Scheme::all() {
        let bound = 1200 + usize::from(scheme.encoder::<Bytes>().overhead().repair);
        for packet in encoded(&scheme, 350) {
            assert!(packet.repairs().iter().all(|repair| repair.symbol.len() <= bound), "{scheme}");
        }
    }
}

#[test]
fn a_repair_packet_that_changed_on_the_way_shows_in_what_it_recovers() {
    for scheme in Scheme::all() {
        let wire = encoded(&scheme, 1);
        let Some(Wire::Repair(repair)) = wire.get(1) else { continue };
        for changed in 0..repair.symbol.len() {
            let mut bytes = repair.symbol.to_vec();
            bytes[changed] ^= 0x40;
            let heard = Wire::Repair(Repair { header: repair.header, symbol: bytes.into() });
            let (known, _) = decode(&mut *scheme.decoder(), [&heard]);
            assert_eq!(unit::open(&known[&0]), Err(Malformed::BadCheck), "{scheme}: byte {changed}");
        }
    }
}

/// What anybody may send, and what the transport does beside.
#[derive(Clone, Debug)]
enum Call {
    Source(u32, Vec<u8>),
    Repair(RepairHeader, Vec<u8>),
    Expire(u32),
}

fn call() -> impl Strategy<Value = Call> {
    // Near values meet each other, far ones meet the bounds.
    let esi = || prop_oneof![20 => 0..20_u32, 4 => 0..80_u32, 1 => 16_000..17_000_u32, 1 => any::<u32>()];
    let count = prop_oneof![8 => 1..6_u16, 4 => 0..12_u16, 1 => any::<u16>()];
    let small = || prop_oneof![8 => 0..4_u16, 1 => any::<u16>()];
    let symbol = || prop::collection::vec(any::<u8>(), 0..20);
    // The class that unequal protection knows a row by is in the top bits.
    let class = prop_oneof![4 => Just(0), 1 => 0..4_u16];
    let header = (esi(), count, small(), class, small()).prop_map(|(first, count, row, class, parameter)| {
        RepairHeader { first, count, row: row | class << 14, parameter: parameter as u8 }
    });
    prop_oneof![
        6 => (esi(), symbol()).prop_map(|(esi, symbol)| Call::Source(esi, symbol)),
        6 => (header, symbol()).prop_map(|(header, symbol)| Call::Repair(header, symbol)),
        1 => prop_oneof![30 => 0..20_u32, 1 => esi()].prop_map(Call::Expire),
    ]
}

proptest! {
    #[test]
    fn no_packet_breaks_a_decoder(calls in prop::collection::vec(call(), 0..120)) {
        for scheme in Scheme::all() {
            let mut decoder = scheme.decoder::<Bytes>();
            let mut accepted = 0;
            let mut recovered = BTreeSet::new();
            let mut events = Vec::new();
            for call in &calls {
                match call.clone() {
                    Call::Source(esi, symbol) => decoder.push_source(Time::ZERO, esi, &symbol.into()),
                    Call::Repair(header, symbol) => {
                        let taken = decoder.push_repair(Time::ZERO, &header, &symbol.into());
                        accepted += usize::from(taken.is_ok());
                    }
                    Call::Expire(esi) => decoder.expire(esi),
                }
                events.extend(std::iter::from_fn(|| decoder.poll_event()));
                let possible = decoder.deficit().iter().all(|(range, count)| {
                    *count > 0 && usize::from(*count) <= range.clone().count()
                });
                prop_assert!(possible);
            }
            decoder.expire(u32::MAX);
            events.extend(std::iter::from_fn(|| decoder.poll_event()));
            prop_assert_eq!(settled(&events), accepted, "{}", scheme);
            for event in events {
                if let DecodeEvent::Recovered { esi, symbol } = event {
                    prop_assert!(recovered.insert(esi), "{}: {} twice", scheme, esi);
                    prop_assert!(unit::open(&symbol).is_err() || symbol.len() >= unit::OVERHEAD);
                }
            }
        }
    }
}
