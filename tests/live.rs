//! `fhsim live` as a person uses it, on real sockets of this machine and with the model's TCP.
//!
//! A machine that is busy with other tests may lose packets of its own. Then nothing is judged, and that is
//! what the tests hold it to.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Ports of these tests' own, below those that the system gives out.
const SCENARIO: &str = r#"format = 1
duration = "2s"
[session]
ports = "24300-24340"
[measure]
warm-up = "500ms"
drain = "500ms"
[traffic.down.screen]
constant = { rate = "30Hz", size = "5kB" }
[path.down]
delay = "5ms"
[path.up]
delay = "5ms"
[contender.tcp-cubic]
tcp = { congestion = "cubic" }
[contender.udp]
udp = { fec = "none" }
[expect]
rules = RULES
"#;

fn live(folder: &Path, rules: &[&str], arguments: &[&str]) -> Output {
    fs::write(folder.join("a.toml"), SCENARIO.replace("RULES", &format!("{rules:?}"))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fhsim"));
    command.current_dir(folder).args(["live", "a.toml", "--tcp", "model"]).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether the machine itself lost packets of any contender.
fn is_spoiled(result: &Value) -> bool {
    let timing = result["real_time"]["timing"].as_array().unwrap();
    assert_eq!(timing.len(), 2, "one for each contender");
    timing.iter().any(|one| one["quality"] == "spoiled")
}

#[test]
fn what_is_expected_decides_the_exit_code_unless_the_machine_spoiled_it() {
    let folder = TempDir::new().unwrap();
    // Frames arrive within a second even here, and not before they were sent.
    let rules = [("udp.frame_delay_p50_ms < 1000", true), ("udp.frame_delay_p50_ms < 5", false)];
    for (rule, met) in rules {
        let output = live(folder.path(), &[rule], &["--no-tui", "--out", "out"]);
        let (said, result) = (text(&output.stderr), json(&folder.path().join("out/result.json")));
        let expectation = &result["expectations"][0];
        if is_spoiled(&result) {
            assert_eq!(expectation["met"], Value::Null);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("not judged, because this machine lost packets"), "{said}");
            continue;
        }
        assert_eq!(expectation["met"], met, "{said}");
        assert_eq!(output.status.code(), Some(if met { 0 } else { 99 }), "{said}");
        assert!(said.contains(&format!("{rule}: {}", if met { "met" } else { "NOT MET" })), "{said}");
    }
}

#[test]
fn the_folder_gets_what_a_run_gives_and_how_well_time_was_kept() {
    let folder = TempDir::new().unwrap();
    let output = live(folder.path(), &[], &["--quiet", "--spin", "--seeds", "3..4", "--out", "out"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let out = folder.path().join("out");
    let result = json(&out.join("result.json"));
    assert_eq!(result["command"], "fhsim live a.toml --seeds 3..4 --tcp model --spin");
    assert_eq!(result["seeds"], serde_json::json!(["3", "4"]));
    assert_eq!(result["real_time"]["altered"], false);
    is_spoiled(&result);
    let schema = Command::new(env!("CARGO_BIN_EXE_fhsim")).args(["schema", "result"]).output().unwrap();
    let schema = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(jsonschema::is_valid(&schema, &result), "{result}");
    // A heading, two contenders, two seeds.
    assert_eq!(fs::read_to_string(out.join("result.csv")).unwrap().lines().count(), 5);
    assert!(fs::read_to_string(out.join("scenario.toml")).unwrap().contains("24300-24340"));
}

#[test]
fn a_folder_with_something_else_in_it_is_refused_before_anything_is_played() {
    let folder = TempDir::new().unwrap();
    let output = live(folder.path(), &[], &["--out", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("holds something else: a.toml"), "{}", text(&output.stderr));
}

#[test]
fn the_events_end_with_the_same_result() {
    let folder = TempDir::new().unwrap();
    let output = live(folder.path(), &[], &["--format", "ndjson"]);
    let events: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&events[0]["event"], &events[events.len() - 1]["event"]), (&"start".into(), &"end".into()));
    is_spoiled(&events[events.len() - 1]["data"]["result"]);
}
