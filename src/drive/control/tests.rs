use std::net::Ipv4Addr;
use std::sync::mpsc::{self, Sender};
use std::thread;

use super::greeting::Greeting;
use super::*;
use crate::session::key::tests::key;

const GREETING_LEN: usize = Greeting::LEN;

/// A length and a tag.
const PROOF_LEN: usize = 2 + 16;

/// Where somebody connects to, until the sender is dropped.
fn reception() -> (Reception, SocketAddr, Sender<()>, Receiver<()>) {
    let reception = Reception::open((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = reception.address().unwrap();
    let (open, closed) = mpsc::channel();
    (reception, address, open, closed)
}

type Met = Result<(Speaker, Listener), Disagreement>;

/// What a client and a server with these keys find.
fn meet(of_client: Option<u8>, of_server: Option<u8>) -> (Met, Met) {
    let (reception, address, _open, closed) = reception();
    thread::scope(|scope| {
        let client = scope.spawn(move || connect(address, of_client.map(key).as_ref()));
        let (_, caller) = reception.accept(&closed).unwrap().unwrap();
        let server = caller.greet(of_server.map(key).as_ref());
        (client.join().unwrap(), server)
    })
}

/// What a server with this key makes of somebody who sends this and listens on.
fn greeted(bytes: &[u8], of: Option<u8>) -> Met {
    let (reception, address, _open, closed) = reception();
    let mut stranger = TcpStream::connect(address).unwrap();
    stranger.write_all(bytes).unwrap();
    let (_, caller) = reception.accept(&closed).unwrap().unwrap();
    caller.greet(of.map(key).as_ref())
}

#[test]
fn words_are_heard_as_they_were_said_with_a_key_and_without() {
    for of in [None, Some(1)] {
        let (client, server) = meet(of, of);
        let ((mut speaker, _keep), (_keep_too, mut listener)) = (client.unwrap(), server.unwrap());
        listener.let_in(GREETING);
        let words = [
            Word::Hello { digest: [7; 32] },
            Word::Play { contender: 2, seed: u64::MAX },
            Word::Cue(Cue::Ports((0..40_000).collect())),
            Word::Failed("no port".to_owned()),
        ];
        words.iter().for_each(|word| speaker.begin(word).unwrap());
        speaker.say(&Word::Welcome).unwrap();
        for word in &words {
            assert_eq!(listener.hear().unwrap().as_ref(), Some(word));
        }
        assert_eq!(listener.hear().unwrap(), Some(Word::Welcome));
        speaker.close();
        assert_eq!(listener.hear().unwrap(), None);
    }
}

#[test]
fn ends_without_the_same_key_both_say_so() {
    let (client, server) = meet(Some(1), Some(2));
    assert!(matches!(client, Err(Disagreement::OtherKey)), "{client:?}");
    assert!(matches!(server, Err(Disagreement::OtherKey)), "{server:?}");
    let (client, server) = meet(Some(1), None);
    assert!(matches!(client, Err(Disagreement::NoKeyThere)), "{client:?}");
    assert!(matches!(server, Err(Disagreement::NoKeyHere)), "{server:?}");
    let (client, server) = meet(None, Some(1));
    assert!(matches!(client, Err(Disagreement::NoKeyHere)), "{client:?}");
    assert!(matches!(server, Err(Disagreement::NoKeyThere)), "{server:?}");
}

#[test]
fn ends_of_different_versions_say_so_whatever_else_differs() {
    let mut bytes = Greeting::new(None).unwrap().encode();
    bytes[8..14].copy_from_slice(&[0xff; 6]);
    let error = greeted(&bytes, Some(1)).unwrap_err().to_string();
    assert!(error.contains("and 65535.65535.65535 there"), "{error}");
}

#[test]
fn who_does_not_greet_is_a_stranger_at_once() {
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0; 64]] {
        // It stays, and would be waited for if it could still say the right thing.
        let met = greeted(bytes, None);
        assert!(matches!(met, Err(Disagreement::Stranger)), "{met:?}");
    }
    let mut bytes = Greeting::new(None).unwrap().encode();
    bytes[14] = 2;
    assert!(matches!(greeted(&bytes, None), Err(Disagreement::Stranger)));
}

#[test]
fn a_conversation_that_was_recorded_is_not_let_in_again() {
    let (reception, address, _open, closed) = reception();
    let recorded = thread::scope(|scope| {
        let client = scope.spawn(move || connect(address, Some(&key(1))));
        let (_, Caller(mut stream)) = reception.accept(&closed).unwrap().unwrap();
        // In the middle: between the client and a server that has the key too.
        let behind = self::reception();
        let mut onwards = TcpStream::connect(behind.1).unwrap();
        let server = scope.spawn(move || {
            let (_, caller) = behind.0.accept(&behind.3).unwrap().unwrap();
            caller.greet(Some(&key(1))).map(drop)
        });
        let mut recorded = vec![0; GREETING_LEN + PROOF_LEN];
        stream.read_exact(&mut recorded[..GREETING_LEN]).unwrap();
        onwards.write_all(&recorded[..GREETING_LEN]).unwrap();
        let mut answer = [0; GREETING_LEN + PROOF_LEN];
        onwards.read_exact(&mut answer).unwrap();
        stream.write_all(&answer).unwrap();
        stream.read_exact(&mut recorded[GREETING_LEN..]).unwrap();
        onwards.write_all(&recorded[GREETING_LEN..]).unwrap();
        server.join().unwrap().unwrap();
        client.join().unwrap().unwrap();
        recorded
    });
    let met = greeted(&recorded, Some(1));
    assert!(matches!(met, Err(Disagreement::OtherKey)), "{met:?}");
}

#[test]
fn a_greeting_that_was_altered_is_found_out() {
    let (reception, address, _open, closed) = reception();
    let (client, server) = thread::scope(|scope| {
        let client = scope.spawn(move || connect(address, Some(&key(1))));
        let (_, Caller(mut stream)) = reception.accept(&closed).unwrap().unwrap();
        let behind = self::reception();
        let mut onwards = TcpStream::connect(behind.1).unwrap();
        let server = scope.spawn(move || {
            let (_, caller) = behind.0.accept(&behind.3).unwrap().unwrap();
            caller.greet(Some(&key(1)))
        });
        let mut bytes = [0; GREETING_LEN + PROOF_LEN];
        stream.read_exact(&mut bytes[..GREETING_LEN]).unwrap();
        bytes[GREETING_LEN - 1] ^= 1;
        onwards.write_all(&bytes[..GREETING_LEN]).unwrap();
        onwards.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.read_exact(&mut bytes[..PROOF_LEN]).unwrap();
        onwards.write_all(&bytes[..PROOF_LEN]).unwrap();
        (client.join().unwrap(), server.join().unwrap())
    });
    assert!(matches!(client, Err(Disagreement::OtherKey)), "{client:?}");
    assert!(matches!(server, Err(Disagreement::OtherKey)), "{server:?}");
}

#[test]
fn what_comes_byte_by_byte_is_not_waited_for_for_ever() {
    let (reception, address, _open, closed) = reception();
    let greeting = Greeting::new(None).unwrap().encode();
    let (done, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // A byte every 200 ms: each one in time, all of them after ten seconds.
        scope.spawn(move || {
            let mut slow = TcpStream::connect(address).unwrap();
            for byte in greeting {
                if slow.write_all(&[byte]).is_err()
                    || over.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Disconnected)
                {
                    return;
                }
            }
            panic!("it was waited for");
        });
        let (_, caller) = reception.accept(&closed).unwrap().unwrap();
        match caller.greet(None) {
            Err(Disagreement::Connection(error)) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            other => panic!("{other:?}"),
        }
        drop(done);
    });
}

#[test]
fn who_has_not_been_let_in_says_no_long_words() {
    let long = Word::Failed("x".repeat(FIRST_WORD_MAX));
    let (client, server) = meet(None, None);
    let ((mut speaker, _keep), (_keep_too, mut listener)) = (client.unwrap(), server.unwrap());
    speaker.say(&long).unwrap();
    assert_eq!(listener.hear().unwrap_err().kind(), ErrorKind::InvalidData);
    let (client, server) = meet(None, None);
    let ((mut speaker, _keep), (_keep_too, mut listener)) = (client.unwrap(), server.unwrap());
    listener.let_in(GREETING);
    speaker.say(&long).unwrap();
    assert_eq!(listener.hear().unwrap(), Some(long));
}

#[test]
fn nobody_is_accepted_any_more_where_the_reception_is_closed() {
    let (reception, _, open, closed) = reception();
    drop(open);
    assert!(reception.accept(&closed).unwrap().is_none());
}
