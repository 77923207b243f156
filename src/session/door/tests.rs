use std::net::IpAddr;

use proptest::prelude::*;

use super::retry::TRIES;
use super::*;
use crate::endpoint::Wire;
use crate::fec::{Repair, RepairHeader};
use crate::session::key::tests::key;
use crate::time::Duration;
use crate::transport::packet::{Body, Header};

const CLIENT: SocketAddr = address(1);
const SERVER: SocketAddr = address(2);
const STRANGER: SocketAddr = address(3);

const fn address(host: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(198, 18, 0, host)), 3224)
}

fn config(of: Option<u8>) -> DoorConfig {
    DoorConfig { datagram: 1200, key: of.map(key), clock: false, only: None }
}

fn server(of: Option<u8>) -> Door {
    Door::server(config(of), [1; 32])
}

fn client(of: Option<u8>) -> Door {
    Door::client(config(of), [2; 32], SERVER)
}

/// What the door wants to send now.
fn said(door: &mut Door, now: Time) -> Vec<(SocketAddr, Bytes)> {
    let mut said = Vec::new();
    let mut out = BytesMut::new();
    while let Some(to) = door.poll_transmit(now, &mut out) {
        said.push((to, out.split().freeze()));
    }
    said
}

/// Steps both doors until neither has anything to say any more or the client has given up. Says which
/// of the datagrams, numbered in the order of sending, arrive how often and how many steps later.
fn shake_hands(client: &mut Door, server: &mut Door, mut fate: impl FnMut(usize) -> Vec<usize>) -> Time {
    let (mut now, mut sent) = (Time::ZERO, 0);
    let mut under_way: Vec<(usize, SocketAddr, SocketAddr, Bytes)> = Vec::new();
    for step in 0.. {
        for (from, door) in [(CLIENT, &mut *client), (SERVER, &mut *server)] {
            for (to, datagram) in said(door, now) {
                for delay in fate(sent) {
                    under_way.push((step + delay, from, to, datagram.clone()));
                }
                sent += 1;
            }
        }
        let (arriving, later) = under_way.into_iter().partition(|(due, ..)| *due <= step);
        under_way = later;
        let arriving: Vec<_> = arriving;
        for (_, from, to, datagram) in &arriving {
            let door = if *to == CLIENT { &mut *client } else { &mut *server };
            assert_eq!(door.admit(now, *from, datagram.clone()), None);
        }
        if arriving.is_empty() && under_way.is_empty() {
            match client.poll_timeout() {
                Some(due) => now = now.max(due),
                None => return now,
            }
        }
    }
    now
}

/// A client and a server whose session is open.
fn opened(of: Option<u8>) -> (Door, Door) {
    let (mut client, mut server) = (client(of), server(of));
    shake_hands(&mut client, &mut server, |_| vec![0]);
    assert_eq!((client.state(), server.state()), (open(SERVER), open(CLIENT)));
    (client, server)
}

/// Opens the session, with nothing lost and no time passing.
fn shake_hands_once(client: &mut Door, server: &mut Door) {
    for _ in 0..2 {
        for (_, datagram) in said(client, Time::ZERO) {
            server.admit(Time::ZERO, CLIENT, datagram);
        }
        for (_, datagram) in said(server, Time::ZERO) {
            client.admit(Time::ZERO, SERVER, datagram);
        }
    }
    assert_eq!((client.state(), server.state()), (open(SERVER), open(CLIENT)));
}

fn open(peer: SocketAddr) -> State {
    State::Open { peer }
}

fn packet(number: u32) -> Packet {
    let repair = Repair {
        header: RepairHeader { first: 1, count: 1, row: 0, parameter: 0 },
        symbol: Bytes::from_static(b"a symbol"),
    };
    Packet { header: Header { number, ..Header::default() }, body: Body::Repair(repair) }
}

fn sealed(door: &mut Door, number: u32) -> Bytes {
    let mut out = BytesMut::new();
    door.seal(&packet(number), &mut out);
    out.freeze()
}

/// Lets a datagram in and decodes what it carries.
fn admitted(door: &mut Door, from: SocketAddr, datagram: &Bytes) -> Option<Packet> {
    let packet = door.admit(Time::ZERO, from, datagram.clone())?;
    Some(Packet::decode(packet).unwrap())
}

#[test]
fn a_session_opens_in_two_round_trips_and_carries_packets_both_ways() {
    for of in [None, Some(7)] {
        let (mut client, mut server) = opened(of);
        for number in 0..3 {
            let datagram = sealed(&mut client, number);
            let tag = if of.is_some() { TAG_LEN } else { 0 };
            assert_eq!(datagram.len() + 28, packet(number).size() as usize + tag);
            assert_eq!(admitted(&mut server, CLIENT, &datagram), Some(packet(number)));
            let datagram = sealed(&mut server, number);
            assert_eq!(admitted(&mut client, SERVER, &datagram), Some(packet(number)));
        }
        assert_eq!((client.refused().total(), server.refused().total()), (0, 0));
    }
}

#[test]
fn nothing_is_sealed_before_the_session_is_open() {
    assert!(sealed(&mut client(None), 0).is_empty());
    assert!(sealed(&mut server(None), 0).is_empty());
}

#[test]
fn a_client_that_nobody_answers_gives_up_after_sixteen_seconds() {
    let (mut client, mut server) = (client(None), server(None));
    let end = shake_hands(&mut client, &mut server, |_| vec![]);
    assert_eq!(end, Time::from_millis(250 * (1 + 2 + 4 + 8 + 16 + 32)));
    assert_eq!(client.state(), State::Failed(Failure::Silence { server: SERVER }));
    assert!(said(&mut client, end).is_empty());
}

#[test]
fn packets_of_the_server_tell_a_client_whose_ready_was_lost_that_the_session_is_open() {
    let (mut client, mut server) = (client(None), server(None));
    for _ in 0..2 {
        for (_, datagram) in said(&mut client, Time::ZERO) {
            server.admit(Time::ZERO, CLIENT, datagram);
        }
        if server.state() == State::Waiting {
            for (_, datagram) in said(&mut server, Time::ZERO) {
                client.admit(Time::ZERO, SERVER, datagram);
            }
        }
    }
    assert_eq!((client.state(), server.state()), (State::Waiting, open(CLIENT)));
    let datagram = sealed(&mut server, 0);
    assert_eq!(admitted(&mut client, SERVER, &datagram), Some(packet(0)));
    assert_eq!(client.state(), open(SERVER));
}

#[test]
fn a_second_client_is_told_that_the_server_is_busy_and_the_session_goes_on() {
    let (mut first, mut server) = opened(None);
    let mut second = Door::client(config(None), [3; 32], SERVER);
    for (_, hello) in said(&mut second, Time::ZERO) {
        server.admit(Time::ZERO, STRANGER, hello);
    }
    for (to, refusal) in said(&mut server, Time::ZERO) {
        assert_eq!(to, STRANGER);
        second.admit(Time::ZERO, SERVER, refusal);
    }
    assert_eq!(second.state(), State::Failed(Failure::Busy { server: SERVER }));
    assert_eq!((server.refused().of(Reason::Busy), server.refused().total()), (1, 1));
    let datagram = sealed(&mut first, 0);
    assert_eq!(admitted(&mut server, CLIENT, &datagram), Some(packet(0)));
}

#[test]
fn ends_without_the_same_key_open_no_session_and_say_why() {
    for (of_client, of_server) in [(None, Some(1)), (Some(1), None), (Some(1), Some(2))] {
        let (mut client, mut server) = (client(of_client), server(of_server));
        let end = shake_hands(&mut client, &mut server, |_| vec![0]);
        assert_eq!(client.state(), State::Failed(Failure::Key { server: SERVER }));
        assert_eq!(server.state(), State::Waiting);
        // Who has a key does not believe a refusal, which bears no tag, but goes on trying.
        let tries = if of_client.is_some() { TRIES.into() } else { 1 };
        assert_eq!(server.refused().of(Reason::NotAuthentic), tries);
        assert_eq!(end > Time::ZERO, of_client.is_some());
    }
}

#[test]
fn ends_of_different_versions_say_so() {
    let (mut client, mut server) = (client(None), server(None));
    let of_version = |datagram: &Bytes, version: u8| {
        let mut datagram = BytesMut::from(&datagram[..]);
        datagram[ENVELOPE_LEN] = version << 5 | SETUP;
        datagram.freeze()
    };
    let (_, hello) = said(&mut client, Time::ZERO).remove(0);
    server.admit(Time::ZERO, CLIENT, of_version(&hello, 3));
    let (to, refusal) = said(&mut server, Time::ZERO).remove(0);
    assert_eq!((to, server.refused().of(Reason::Version)), (CLIENT, 1));
    // A server of version 3 would have said the same with its own version.
    client.admit(Time::ZERO, SERVER, of_version(&refusal, 3));
    assert_eq!(client.state(), State::Failed(Failure::Version { theirs: 3 }));
}

#[test]
fn every_reason_to_refuse_is_counted_apart() {
    for of in [None, Some(7)] {
        let (mut client, mut server) = opened(of);
        let good = sealed(&mut client, 0);
        let mut expect = |reason, from, datagram: Bytes| {
            let before = server.refused();
            assert_eq!(server.admit(Time::ZERO, from, datagram), None);
            assert_eq!(server.refused().of(reason), before.of(reason) + 1, "{reason}");
            assert_eq!(server.refused().total(), before.total() + 1);
        };
        expect(Reason::Elsewhere, STRANGER, good.clone());
        expect(Reason::Elsewhere, SocketAddr::new(CLIENT.ip(), 9), good.clone());
        expect(Reason::Identity, CLIENT, [&[0; 4], &good[4..]].concat().into());
        expect(Reason::Oversize, CLIENT, vec![0; 1201].into());
        expect(Reason::Malformed, CLIENT, good.slice(..3));
        expect(Reason::Malformed, CLIENT, good.slice(..ENVELOPE_LEN + 5));
        if of.is_some() {
            expect(Reason::NotAuthentic, CLIENT, good.slice(..good.len() - 1));
        }
        assert_eq!(admitted(&mut server, CLIENT, &good), Some(packet(0)));
        assert_eq!(admitted(&mut server, CLIENT, &good), None);
        assert_eq!(server.refused().of(Reason::Replayed), 1);
        assert_eq!(self::server(of).admit(Time::ZERO, CLIENT, good), None);
    }
}

#[test]
fn a_session_that_was_recorded_opens_no_other_door() {
    // The second server has another secret, as every one has.
    let (mut client, mut first) = (client(Some(7)), server(Some(7)));
    let mut recorded = Vec::new();
    for _ in 0..2 {
        for (_, datagram) in said(&mut client, Time::ZERO) {
            recorded.push(datagram.clone());
            first.admit(Time::ZERO, CLIENT, datagram);
        }
        for (_, datagram) in said(&mut first, Time::ZERO) {
            client.admit(Time::ZERO, SERVER, datagram);
        }
    }
    assert_eq!(client.state(), open(SERVER));
    recorded.extend((0..5).map(|number| sealed(&mut client, number)));
    let mut second = Door::server(config(Some(7)), [9; 32]);
    for datagram in recorded {
        assert_eq!(second.admit(Time::ZERO, CLIENT, datagram), None);
    }
    assert_eq!(second.state(), State::Waiting);
}

#[test]
fn a_welcome_is_good_at_the_address_only_that_asked_for_it() {
    let (mut client, mut server) = (client(None), server(None));
    let (_, hello) = said(&mut client, Time::ZERO).remove(0);
    server.admit(Time::ZERO, CLIENT, hello);
    let (_, welcome) = said(&mut server, Time::ZERO).remove(0);
    client.admit(Time::ZERO, SERVER, welcome);
    let (_, confirm) = said(&mut client, Time::ZERO).remove(0);
    assert_eq!(server.admit(Time::ZERO, STRANGER, confirm.clone()), None);
    assert_eq!((server.state(), server.refused().of(Reason::Identity)), (State::Waiting, 1));
    server.admit(Time::ZERO, CLIENT, confirm);
    assert_eq!(server.state(), open(CLIENT));
}

#[test]
fn a_door_for_one_host_answers_no_other() {
    let only = Some(CLIENT.ip());
    let mut server = Door::server(DoorConfig { only, ..config(None) }, [1; 32]);
    let mut stranger = Door::client(config(None), [3; 32], SERVER);
    for (_, hello) in said(&mut stranger, Time::ZERO) {
        server.admit(Time::ZERO, STRANGER, hello);
    }
    assert!(said(&mut server, Time::ZERO).is_empty());
    assert_eq!(server.refused().of(Reason::Elsewhere), 1);
    shake_hands_once(&mut client(None), &mut server);
}

#[test]
fn an_address_mapped_to_ipv6_is_the_same_address() {
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    let (mut client, mut server) = opened(None);
    let datagram = sealed(&mut client, 0);
    assert!(server.admit(Time::ZERO, mapped(CLIENT), datagram).is_some());
}

#[test]
fn packet_numbers_go_on_past_their_32_bits() {
    let (mut client, mut server) = opened(Some(7));
    // As far as one jump may go, 64 times and a little more.
    let numbers = (0..70_u64).map(|step| (step * ((1 << 26) - 1)) as u32);
    for number in numbers {
        let datagram = sealed(&mut client, number);
        assert_eq!(admitted(&mut server, CLIENT, &datagram), Some(packet(number)));
    }
    assert_eq!(server.refused().total(), 0);
}

#[test]
fn a_hundred_thousand_random_datagrams_leave_the_door_as_it_was() {
    let mut server = server(None);
    let mut draws = crate::rng::Seed(1).stream("door/noise").at(0);
    let (mut bytes_in, mut bytes_out) = (0, 0);
    for _ in 0..100_000 {
        let len = rand::Rng::next_u32(&mut draws) as usize % 1300;
        let mut noise = vec![0; len];
        rand::Rng::fill_bytes(&mut draws, &mut noise);
        bytes_in += len;
        assert_eq!(server.admit(Time::ZERO, STRANGER, noise.into()), None);
        bytes_out += said(&mut server, Time::ZERO).iter().map(|(_, datagram)| datagram.len()).sum::<usize>();
    }
    // All that a door keeps are counts; without a session there is not even a window.
    assert!(server.session.is_none());
    assert_eq!(server.refused().total(), 100_000);
    assert!(bytes_out < bytes_in / 100, "{bytes_out} of {bytes_in}");
}

#[test]
fn both_ends_learn_how_their_clocks_differ() {
    // The server's clock is five seconds ahead, and each way takes 10 ms.
    let ahead = Duration::from_secs(5);
    let way = Duration::from_millis(10);
    for of in [None, Some(7)] {
        let mut client = Door::client(DoorConfig { clock: true, ..config(of) }, [2; 32], SERVER);
        let mut server = server(of);
        let mut now = Time::ZERO;
        for _ in 0..20 {
            let sent = said(&mut client, now);
            now += way;
            sent.iter().for_each(|(_, datagram)| {
                server.admit(now + ahead, CLIENT, datagram.clone());
            });
            let sent = said(&mut server, now + ahead);
            now += way;
            sent.iter().for_each(|(_, datagram)| {
                client.admit(now, SERVER, datagram.clone());
            });
            now = now.max(client.poll_timeout().unwrap());
        }
        for (door, offset) in [(&client, 5_000_000_000), (&server, -5_000_000_000)] {
            let clock = door.clock().unwrap();
            assert_eq!(clock.offset_at(now), Some(offset));
            assert_eq!(clock.bound().unwrap(), way);
            assert_eq!(door.refused().total(), 0);
        }
    }
}

#[test]
fn a_probe_or_answer_that_is_played_again_or_forged_changes_no_clock() {
    let mut client = Door::client(DoorConfig { clock: true, ..config(Some(7)) }, [2; 32], SERVER);
    let mut server = server(Some(7));
    shake_hands_once(&mut client, &mut server);
    let at = Time::from_millis;
    let (_, probe) = said(&mut client, at(0)).remove(0);
    server.admit(at(10), CLIENT, probe.clone());
    let (_, answer) = said(&mut server, at(10)).remove(0);
    client.admit(at(20), SERVER, answer.clone());
    assert_eq!(client.clock().unwrap().bound(), Some(Duration::from_millis(10)));
    client.admit(at(21), SERVER, answer.clone());
    assert_eq!(client.refused().of(Reason::Replayed), 1);
    let mut forged = BytesMut::from(&answer[..]);
    forged[ENVELOPE_LEN + 9] ^= 1;
    client.admit(at(22), SERVER, forged.freeze());
    assert_eq!(client.refused().of(Reason::NotAuthentic), 1);
    let (_, next) = said(&mut client, at(100)).remove(0);
    server.admit(at(110), CLIENT, next.clone());
    let learned = server.clock().unwrap().offset_at(at(110));
    // Played again much later it would tell of a way that took a second.
    server.admit(at(1110), CLIENT, next);
    assert_eq!(server.clock().unwrap().offset_at(at(110)), learned);
}

/// A datagram that gets past the first look: a hello, a confirm or something like them.
fn any_datagram() -> impl Strategy<Value = Vec<u8>> {
    let setup = (any::<[u8; 4]>(), any::<[bool; 3]>(), 0_u8..9, prop::collection::vec(any::<u8>(), 0..80));
    let setup = setup.prop_map(|(to, [tag, version, zero], what, rest)| {
        let first = (VERSION + u8::from(version)) << 5 | u8::from(tag) << 3 | SETUP;
        [if zero { &[0; 4][..] } else { &to }, &[first, what], &rest].concat()
    });
    let packet = prop::collection::vec(any::<u8>(), 0..1300);
    // Lengths that are right are rare among random ones.
    let hello =
        any::<[u8; 20]>().prop_map(|sender| [&[0, 0, 0, 0, VERSION << 5 | SETUP, 1][..], &sender].concat());
    let confirm = any::<([u8; 20], [u8; 20])>()
        .prop_map(|(ends, random)| [&ends[..4], &[VERSION << 5 | SETUP, 3], &ends[4..], &random].concat());
    prop_oneof![setup, packet, hello, confirm]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_datagram_opens_a_door_or_gets_more_bytes_than_it_has(
        datagrams in prop::collection::vec((any_datagram(), 1_u8..4), 1..20),
        of in prop::option::of(Just(7)),
    ) {
        let (mut server, mut client) = (server(of), client(of));
        let knocking = said(&mut client, Time::ZERO).len();
        prop_assert_eq!(knocking, 1);
        for (datagram, host) in datagrams {
            let datagram = Bytes::from(datagram);
            for door in [&mut server, &mut client] {
                prop_assert_eq!(door.admit(Time::ZERO, address(host), datagram.clone()), None);
                let answers = said(door, Time::ZERO);
                prop_assert!(answers.len() <= 1);
                for (to, answer) in answers {
                    prop_assert_eq!(to, address(host));
                    prop_assert!(answer.len() <= datagram.len(), "{} for {}", answer.len(), datagram.len());
                }
                prop_assert_eq!(door.state(), State::Waiting);
            }
        }
    }

    #[test]
    fn hands_are_shaken_whatever_is_lost_reordered_or_doubled_on_the_way(
        fates in prop::collection::vec(prop::collection::vec(0_usize..4, 0..3), 0..5),
        of in prop::option::of(Just(7)),
    ) {
        let (mut client, mut server) = (client(of), server(of));
        // What comes after those arrives: at least one of six tries gets through both ways, twice.
        shake_hands(&mut client, &mut server, |sent| fates.get(sent).cloned().unwrap_or(vec![0]));
        prop_assert_eq!((client.state(), server.state()), (open(SERVER), open(CLIENT)));
        let datagram = sealed(&mut client, 0);
        prop_assert_eq!(admitted(&mut server, CLIENT, &datagram), Some(packet(0)));
        let datagram = sealed(&mut server, 0);
        prop_assert_eq!(admitted(&mut client, SERVER, &datagram), Some(packet(0)));
    }

    #[test]
    fn each_packet_gets_in_once_and_none_that_was_altered(
        steps in prop::collection::vec((0_usize..40, prop::option::of(any::<(prop::sample::Index, u8)>())), 1..80),
    ) {
        let (mut client, mut server) = opened(Some(7));
        let datagrams: Vec<Bytes> = (0..40).map(|number| sealed(&mut client, number)).collect();
        let mut arrived = std::collections::BTreeSet::new();
        for (number, alter) in steps {
            let mut datagram = BytesMut::from(&datagrams[number][..]);
            if let Some((place, flip)) = alter {
                let place = place.index(datagram.len());
                datagram[place] ^= flip;
            }
            let altered = datagram != datagrams[number];
            let packet = admitted(&mut server, CLIENT, &datagram.freeze());
            let expected = (!altered && arrived.insert(number)).then(|| self::packet(number as u32));
            prop_assert_eq!(packet, expected);
        }
    }
}
