//! A scenario between two machines, both of them this one: the commands as processes, over loopback.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};

use framehawk_sim::drive::control::{Reception, Word};
use framehawk_sim::drive::live::Cue;
use framehawk_sim::drive::message::Message;
use framehawk_sim::endpoint::{Direction, Flow};
use framehawk_sim::record::{Event, Record};
use framehawk_sim::time::Time;
use tempfile::TempDir;

/// Two UDP contenders and one over TCP, with ports from `lowest` on: each test has its own, below those that
/// the system gives out, since tests run side by side.
fn scenario(lowest: u16, duration: &str) -> String {
    format!(
        "duration = \"{duration}\"\nsession = {{ count = 3, ports = \"{lowest}-{}\" }}\n\
         measure = {{ warm-up = \"200ms\", drain = \"300ms\" }}\n\
         [traffic.down.screen]\nconstant = {{ rate = \"50Hz\", size = \"4kB\" }}\n\
         [path.down]\ndelay = \"10ms\"\nloss.iid.rate = \"5%\"\n[path.up]\ndelay = \"10ms\"\n\
         [contender.coded]\nudp = {{ fec.reed-solomon = {{ source = 4, repair = 1 }}, rate = \"fixed\" }}\n\
         [contender.plain]\nudp = {{ rate = \"fixed\" }}\n\
         [contender.tcp]\ntcp = {{ congestion = \"cubic\" }}\n",
        lowest + 9
    )
}

fn folder(text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.toml"), text).unwrap();
    fs::write(folder.path().join("one.key"), "1".repeat(64)).unwrap();
    fs::write(folder.path().join("other.key"), "2".repeat(64)).unwrap();
    folder
}

fn fhsim(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fhsim"));
    command.current_dir(folder).args(["live", "a.toml"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server that has been started and listens; it is ended with this.
struct Server {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = fhsim(folder, &["--listen", "127.0.0.1"]).args(arguments).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut server = Self { child, stderr };
        server.wait_for("listening on");
        server
    }

    /// Waits until it has said something that starts so.
    fn wait_for(&mut self, start: &str) {
        let mut line = String::new();
        while !line.starts_with(start) {
            line.clear();
            assert!(self.stderr.read_line(&mut line).unwrap() > 0, "the server never says {start}");
        }
    }

    /// Waits for its end: whether it is a success, and what it said.
    fn end(mut self) -> (bool, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().success(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; it must not outlive the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(folder: &Path, arguments: &[&str]) -> Output {
    fhsim(folder, &["--connect", "127.0.0.1"]).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn both_ends_play_their_halves_and_the_person_gets_the_table() {
    let folder = folder(&scenario(23_000, "2s"));
    let key = ["--key-file", "one.key"];
    let server = Server::start(folder.path(), &key);
    let person = connect(folder.path(), &[&key[..], &["--seeds", "1..2"]].concat());
    let (table, said) = (text(&person.stdout), text(&person.stderr));
    assert!(person.status.success(), "{said}");
    assert!(table.contains("seeds 1–2"), "{table}");
    for name in ["coded", "plain"] {
        assert!(table.lines().any(|line| line.contains(name)), "{table}");
    }
    assert!(said.contains("left out: tcp"), "{said}");
    assert!(said.contains("clocks: the other machine's is known to"), "{said}");
    assert!(said.contains("refused: none"), "{said}");
    let (success, served) = server.end();
    assert!(success, "{served}");
    assert!(served.contains("served: 4 trials"), "{served}");
}

#[test]
fn strangers_and_other_scenarios_are_turned_away_and_the_server_stays() {
    let right = folder(&scenario(23_020, "1s"));
    let wrong = folder(&scenario(23_020, "2s"));
    let server = Server::start(right.path(), &[]);
    let mut stranger = TcpStream::connect(("127.0.0.1", 23_020)).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(stranger);
    let refused = connect(wrong.path(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("the scenarios differ"), "{}", text(&refused.stderr));
    let person = connect(right.path(), &[]);
    assert!(person.status.success(), "{}", text(&person.stderr));
    let (success, said) = server.end();
    assert!(success, "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("is turned away")).count(), 2, "{said}");
}

#[test]
fn ends_with_different_keys_do_not_play_and_the_server_waits_for_the_right_one() {
    let cases = [
        (23_040, "one.key", Some("other.key"), "the other machine has another key", "another key"),
        (23_060, "one.key", None, "the other machine has a key, and this one has none", "has no key"),
    ];
    for (lowest, of_server, of_client, at_client, at_server) in cases {
        let folder = folder(&scenario(lowest, "1s"));
        let server = Server::start(folder.path(), &["--key-file", of_server]);
        let key = of_client.map(|file| ["--key-file", file]);
        let person = connect(folder.path(), key.as_ref().map_or(&[], |key| &key[..]));
        assert_eq!(person.status.code(), Some(1));
        let said = text(&person.stderr);
        assert!(said.contains(at_client), "{said}");
        let person = connect(folder.path(), &["--key-file", of_server]);
        assert!(person.status.success(), "{}", text(&person.stderr));
        let (success, said) = server.end();
        assert!(success, "{said}");
        assert_eq!(said.lines().filter(|line| line.contains("is turned away")).count(), 1, "{said}");
        assert!(said.contains(at_server), "{said}");
    }
}

#[test]
fn while_a_client_plays_others_are_told_that_the_server_is_busy() {
    let folder = folder(&scenario(23_160, "2s"));
    let mut server = Server::start(folder.path(), &[]);
    // None of these is ever heard of again, and none keeps anybody waiting.
    let _silent: Vec<_> = (0..3).map(|_| TcpStream::connect(("127.0.0.1", 23_160)).unwrap()).collect();
    let first = fhsim(folder.path(), &["--connect", "127.0.0.1"]).spawn().unwrap();
    server.wait_for("playing");
    let second = connect(folder.path(), &[]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("plays with another client"), "{}", text(&second.stderr));
    TcpStream::connect(("127.0.0.1", 23_160)).unwrap().write_all(&[0xff; 100_000]).unwrap();
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stderr).contains("frames whole"), "{}", text(&first.stderr));
    let (success, said) = server.end();
    assert!(success, "{said}");
    assert!(said.contains("served: 2 trials"), "{said}");
}

#[test]
fn an_end_that_is_killed_is_noticed_by_the_other() {
    for (lowest, server_dies) in [(23_180, true), (23_200, false)] {
        let folder = folder(&scenario(lowest, "60s"));
        let mut server = Server::start(folder.path(), &["--key-file", "one.key"]);
        let key = ["--connect", "127.0.0.1", "--key-file", "one.key"];
        let mut person = fhsim(folder.path(), &key).spawn().unwrap();
        server.wait_for("playing");
        if server_dies {
            server.child.kill().unwrap();
            let person = person.wait_with_output().unwrap();
            assert_eq!(person.status.code(), Some(1));
            let said = text(&person.stderr);
            assert!(said.contains("broke the conversation off") || said.contains("connection"), "{said}");
        } else {
            person.kill().unwrap();
            person.wait().unwrap();
            let (success, said) = server.end();
            assert!(!success && !said.is_empty(), "{said}");
        }
    }
}

/// A server that lets anybody in, and then says this; it stays until the other end of `done` is dropped.
fn false_server(words: Vec<Word>, done: Receiver<()>) -> u16 {
    let reception = Reception::open(([127, 0, 0, 1], 0).into()).unwrap();
    let port = reception.address().unwrap().port();
    std::thread::spawn(move || {
        let (_, caller) = reception.accept(&done).unwrap().unwrap();
        let (mut speaker, _heard) = caller.greet(None).unwrap();
        for word in [Word::Welcome].iter().chain(&words) {
            speaker.say(word).unwrap();
        }
        let _ = done.recv();
    });
    port
}

#[test]
fn what_no_server_says_is_not_believed_and_commands_no_terminal() {
    let folder = folder(&scenario(23_220, "1s"));
    let event = Event::RidersArrived { count: 1 };
    let record = Record { at: Time::NEVER, flow: Flow(0), direction: Direction::Down, event };
    for (word, expected) in [
        (Word::Message(Message::Record(record)), "says what was not expected"),
        (Word::Failed("no \u{1b}[2Jport".to_owned()), "the other machine: no  [2Jport"),
        (Word::Cue(Cue::Ports(vec![1; 60_000])), "says what was not expected"),
    ] {
        let (_open, done) = mpsc::channel();
        let port = false_server(vec![word], done);
        let person = fhsim(folder.path(), &["--connect", &format!("127.0.0.1:{port}")]).output().unwrap();
        assert_eq!(person.status.code(), Some(1));
        assert!(text(&person.stderr).contains(expected), "{}", text(&person.stderr));
    }
}

#[cfg(unix)]
#[test]
#[expect(clippy::disallowed_methods, reason = "a person waits")]
fn a_server_that_says_nothing_can_be_left() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    let folder = folder(&scenario(23_240, "1s"));
    let (_open, done) = mpsc::channel();
    let port = false_server(Vec::new(), done);
    let person = fhsim(folder.path(), &["--connect", &format!("127.0.0.1:{port}")]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    kill(Pid::from_raw(person.id() as i32), Signal::SIGINT).unwrap();
    let person = person.wait_with_output().unwrap();
    assert_eq!(person.status.code(), Some(1), "it ended by itself");
    let said = text(&person.stderr);
    assert!(said.contains("broke the conversation off") || said.contains("connection"), "{said}");
}

#[test]
fn where_nobody_listens_the_person_is_told_what_to_do() {
    let folder = folder(&scenario(23_080, "1s"));
    let person = connect(folder.path(), &[]);
    assert_eq!(person.status.code(), Some(1));
    let said = text(&person.stderr);
    assert!(said.contains("cannot connect to 127.0.0.1:23080"), "{said}");
    assert!(said.contains("--listen"), "{said}");
}

#[test]
fn a_scenario_with_tcp_only_has_nothing_to_play() {
    let text_of = scenario(23_100, "1s");
    let (udp, tcp) = (text_of.find("[contender.coded]").unwrap(), text_of.find("[contender.tcp]").unwrap());
    let folder = folder(&format!("{}{}", &text_of[..udp], &text_of[tcp..]));
    let person = connect(folder.path(), &[]);
    assert_eq!(person.status.code(), Some(1));
    assert!(text(&person.stderr).contains("no contender over UDP"), "{}", text(&person.stderr));
}

#[cfg(unix)]
#[test]
#[expect(clippy::disallowed_methods, reason = "a person waits")]
fn ctrl_c_at_either_end_ends_both_with_what_there_is() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    for (lowest, at_server) in [(23_120, true), (23_140, false)] {
        let folder = folder(&scenario(lowest, "60s"));
        let mut server = Server::start(folder.path(), &[]);
        let mut person = fhsim(folder.path(), &["--connect", "127.0.0.1"]).spawn().unwrap();
        server.wait_for("playing");
        // Long enough to be under way, far shorter than the scenario.
        std::thread::sleep(std::time::Duration::from_secs(3));
        let interrupted = if at_server { &server.child } else { &person };
        kill(Pid::from_raw(interrupted.id() as i32), Signal::SIGINT).unwrap();
        assert_eq!(person.wait().unwrap().code(), Some(130), "at the server: {at_server}");
        let mut table = String::new();
        person.stdout.take().unwrap().read_to_string(&mut table).unwrap();
        assert!(table.contains("coded") && table.contains("plain"), "{table}");
        let (success, said) = server.end();
        assert!(success, "{said}");
    }
}
