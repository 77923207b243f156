//! The kernel path as programs meet it: `fhsim doctor` and `fhsim link`.
//!
//! Where the kernel path is not to be had these tests say why and pass: CI runs them as root.
#![cfg(target_os = "linux")]

mod kernel_common;

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use kernel_common::{fhsim, is_to_be_had};

/// Runs a shell command at the person's end of a link with these settings.
fn link(sets: &[&str], command: &str) -> Command {
    let mut fhsim = fhsim();
    fhsim.args(["link", "lan-clean"]);
    for set in sets {
        fhsim.args(["--set", set]);
    }
    fhsim.args(["--", "sh", "-c", command]);
    fhsim
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Sends five datagrams a tenth of a second apart to a server that sends them back, and prints the round
/// trips in milliseconds: for tests, so that they need no ping.
const ECHO: &str = "import socket, threading\n\
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 7))\n\
while True:\n    data, peer = s.recvfrom(2000); s.sendto(data, peer)\n";
const ASK: &str = "import os, socket, time\n\
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)\n\
for i in range(5):\n\
\x20   start = time.monotonic(); s.sendto(bytes([i]), (os.environ['FHSIM_PEER'], 7))\n\
\x20   s.recv(100); print((time.monotonic() - start) * 1000, flush=True); time.sleep(0.1)\n";

fn has_python() -> bool {
    Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_round_trip_takes_both_delays_and_never_less() {
    if !is_to_be_had() || !has_python() {
        return;
    }
    let mut command = fhsim();
    command.args(["link", "lan-clean", "--set", "path.down.delay=30ms", "--set", "path.up.delay=20ms"]);
    command.args(["--server", &format!("exec python3 -c \"{ECHO}\"")]);
    command.args(["--", "python3", "-c", ASK]);
    let output = run(&mut command);
    let text = String::from_utf8_lossy(&output.stdout);
    let round_trips: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(round_trips.len(), 5, "{text}{}", stderr(&output));
    // 30 and 20 ms, and not before.
    assert!(round_trips.iter().all(|&millis| millis >= 50.0), "{round_trips:?}");
    // The best of five on a machine that may be busy with other tests.
    let best = round_trips.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(best < 80.0, "{round_trips:?}");
}

/// A link that takes no time, and so hands packets over as they were sent.
const IN_NO_TIME: &str = "duration = \"8s\"\n\
[traffic.down.screen]\nconstant = { rate = \"50Hz\", size = \"5kB\", dependency = \"independent\" }\n\
deadline = \"100ms\"\n[path.down]\ndelay = \"0ms\"\n[path.up]\ndelay = \"0ms\"\n\
[contender.it]\ntcp = { congestion = \"cubic\" }\n";

/// Runs a program of Python at each end of such a link, and returns what the person's says, and the link.
fn between(server: &str, client: &str, sets: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scenario.toml");
    fs::write(&path, IN_NO_TIME).unwrap();
    let mut command = fhsim();
    command.arg("link").arg(&path).args(sets.iter().flat_map(|set| ["--set", set]));
    command.args(["--server", &format!("exec python3 -c \"{server}\""), "--", "python3", "-c", client]);
    let output = run(&mut command);
    (String::from_utf8_lossy(&output.stdout).trim().to_owned(), stderr(&output))
}

/// Sends 20 MB over TCP to who asks, in a pattern without a period that fits packets; and checks them, and says
/// how many packets the kernel received for it.
const SEND: &str = "import socket\n\
pattern = bytes(i * i % 251 for i in range(65537))\n\
s = socket.socket(); s.bind(('0.0.0.0', 7)); s.listen(); c, _ = s.accept()\n\
c.sendall((pattern * 306)[:20000000]); c.close()\n";
const CHECK: &str = "import os, socket\n\
pattern = bytes(i * i % 251 for i in range(65537))\n\
c = socket.create_connection((os.environ['FHSIM_PEER'], 7))\n\
got = b''.join(iter(lambda: c.recv(1 << 20), b''))\n\
names, values = [line.split() for line in open('/proc/net/snmp') if line.startswith('Tcp:')]\n\
print(got == (pattern * 306)[:20000000], dict(zip(names, values))['InSegs'])\n";

#[test]
fn segments_cross_the_link_one_by_one_and_arrive_joined_where_it_takes_no_time() {
    if !is_to_be_had() || !has_python() {
        return;
    }
    for (delay, loss) in [("0ms", "0%"), ("0ms", "1%"), ("1ms", "0%")] {
        let sets = [format!("path.down.delay={delay}"), format!("path.down.loss.iid.rate={loss}")];
        let (answer, link) = between(SEND, CHECK, &sets.each_ref().map(String::as_str));
        let Some(received) = answer.strip_prefix("True ") else { panic!("{answer} {link}") };
        let mut words = link.split_once("link down: ").unwrap().1.split(' ');
        let packets: f64 = words.next().unwrap().parse().unwrap();
        let bytes: f64 = words.nth(1).unwrap().parse().unwrap();
        // The stream in packets of the MTU of 1500 bytes, less two headers, at most.
        assert!(packets >= 20e6 / 1460.0 && bytes / packets <= 1500.0, "{link}");
        assert_eq!(link.contains(" lost ("), loss == "1%", "{link}");
        // A sender leaves far more segments to the device at a time, also where some are lost.
        let joined = packets / received.parse::<f64>().unwrap();
        assert_eq!(joined > 2.0, delay == "0ms", "{joined} packets in one: {link}");
    }
}

/// Sends trains of datagrams that the kernel cuts (UDP_SEGMENT) to a server that answers with their lengths.
const LENGTHS: &str = "import socket\n\
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 7))\n\
while True:\n    data, peer = s.recvfrom(65535); s.sendto(b'%d %d' % (len(data), data[0]), peer)\n";
const TRAIN: &str = "import os, socket\n\
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.connect((os.environ['FHSIM_PEER'], 7))\n\
s.setsockopt(17, 103, 1000); s.send(b''.join(bytes([i]) * 1000 for i in range(20)) + bytes([20]) * 300)\n\
print(*sorted((s.recv(100) for i in range(21)), key=lambda answer: int(answer.split()[1])), sep=';')\n";

#[test]
fn a_train_of_datagrams_arrives_as_datagrams() {
    if !is_to_be_had() || !has_python() {
        return;
    }
    let (answer, link) = between(LENGTHS, TRAIN, &[]);
    let mut expected: Vec<_> = (0..20).map(|number| format!("b'1000 {number}'")).collect();
    expected.push("b'300 20'".to_owned());
    assert_eq!(answer, expected.join(";"), "{link}");
    assert!(link.contains("link up: 21 packets, 20888 bytes"), "{link}");
}

#[test]
fn a_link_that_loses_everything_lets_nothing_through() {
    if !is_to_be_had() {
        return;
    }
    let sets = ["path.up.loss.iid.rate=100%"];
    let send = "exec 3<>/dev/udp/$FHSIM_PEER/9; for i in 1 2 3; do echo $i >&3; done; exit 0";
    let mut command = link(&sets, &format!("bash -c '{send}'"));
    let output = run(&mut command);
    let text = stderr(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("link up: 3 packets, 90 bytes; 3 lost (100.00 %)"), "{text}");
    // Nothing came through, so nothing answered that there is no such port.
    assert!(text.contains("link down: 0 packets"), "{text}");
}

#[test]
fn the_program_s_exit_code_is_passed_on() {
    if !is_to_be_had() {
        return;
    }
    assert_eq!(run(&mut link(&[], "exit 7")).status.code(), Some(7));
    // As a shell does: 128 and the number of SIGTERM.
    assert_eq!(run(&mut link(&[], "kill -TERM $$")).status.code(), Some(143));
    let output = run(fhsim().args(["link", "lan-clean", "--", "no-such-program"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot run no-such-program: No such file"), "{}", stderr(&output));
    let output = run(fhsim().args(["link", "lan-clean", "--server", "exit 9", "--", "true"]));
    assert!(stderr(&output).contains("the server's command ended with exit code 9"), "{}", stderr(&output));
}

#[test]
fn nothing_is_left_behind_when_it_is_killed() {
    if !is_to_be_had() {
        return;
    }
    // Whatever a program does to escape: the background, a session of its own.
    let marker = format!("kernel-path-test-{}", std::process::id());
    let sleeper = format!("exec -a {marker} sleep 300");
    let client = format!("setsid bash -c '{sleeper}' & bash -c '{sleeper}' & wait");
    for victim in ["fhsim", "the relay"] {
        let mut child = link(&[], &client).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = eventually(|| running(&marker).len() == 2);
        // The one that was started runs the relay as its only child.
        let target = if victim == "fhsim" { child.id() } else { only_child(&child) };
        Command::new("kill").args(["-9", &target.to_string()]).status().unwrap();
        child.wait().unwrap();
        assert!(started, "the programs did not start");
        assert!(eventually(|| running(&marker).is_empty()), "{victim} killed: {:?}", running(&marker));
    }
}

/// Whether something becomes true within ten seconds.
fn eventually(what: impl Fn() -> bool) -> bool {
    #[expect(clippy::disallowed_methods, reason = "other processes take real time")]
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if what() {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "other processes take real time")]
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// The processes whose first word is `name`.
fn running(name: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            words.starts_with(name.as_bytes()).then_some(id)
        })
        .collect()
}

fn only_child(parent: &Child) -> u32 {
    let id = parent.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    children.trim().parse().unwrap()
}
