//! `fhsim bench strategy` and `fhsim recommend`: the same bytes whatever the number of threads, JSON that
//! fits its schema, and recommendations that are right where the right answer is known.

use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn fhsim(arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("fhsim").unwrap();
    command.args(arguments).env("LC_ALL", "C").output().unwrap()
}

/// What it prints; it must succeed.
fn printed(arguments: &[&str]) -> String {
    let output = fhsim(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A small grid of two links.
fn bench(more: &[&str]) -> String {
    let small = [
        "bench",
        "strategy",
        "-q",
        "--set",
        "duration=4s",
        "--seeds",
        "2",
        "--loss",
        "0,5%",
        "--rtt",
        "20ms",
        "--strategies",
        "none,retransmit,rs-10-3,tcp-bbr",
    ];
    printed(&[&small[..], more].concat())
}

#[test]
fn a_bench_is_the_same_to_the_byte_whatever_the_number_of_threads() {
    for format in ["table", "json", "csv"] {
        let [one, two] = ["1", "2"].map(|threads| bench(&["--format", format, "--threads", threads]));
        assert_eq!(one, two, "{format}");
    }
}

#[test]
fn the_table_has_a_line_for_each_strategy_of_each_link() {
    let text = bench(&[]);
    assert!(text.starts_with("bench | 4 s | seeds 1-2, paired\n"), "{text}");
    for line in ["loss 0 % | RTT 20 ms | deadline 110 ms", "loss 5 % | RTT 20 ms | deadline 110 ms"] {
        assert!(text.lines().any(|other| other == line), "{text}");
    }
    for name in ["none", "retransmit", "rs-10-3", "tcp-bbr"] {
        assert_eq!(text.lines().filter(|line| line.split(' ').next() == Some(name)).count(), 2, "{text}");
    }
    assert!(text.is_ascii(), "this locale has no other characters: {text}");
    // Where nothing is lost, doing nothing is not to be beaten.
    assert!(text.lines().find(|line| line.starts_with("none")).unwrap().ends_with('*'), "{text}");
}

#[test]
fn bench_json_fits_its_schema() {
    let value: Value = serde_json::from_str(&bench(&["--format", "json"])).unwrap();
    let schema: Value = serde_json::from_str(&printed(&["schema", "bench"])).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let cells = value["cells"].as_array().unwrap();
    assert_eq!(cells.iter().map(|cell| &cell["loss_pct"]).collect::<Vec<_>>(), [0.0, 5.0]);
    assert_eq!(cells[1]["strategies"][2]["name"], "rs-10-3");
    assert!(cells[1]["strategies"][2]["swept_residual_loss_pct"].is_null(), "nobody asked for a sweep");
    // The command that it names gives it again.
    let words: Vec<&str> = value["command"].as_str().unwrap().split(' ').skip(1).collect();
    assert_eq!(printed(&[&words[..], &["-q", "--format", "json"]].concat()), bench(&["--format", "json"]));
}

#[test]
fn a_sweep_stands_beside_the_formula_with_its_interval() {
    let arguments = ["bench", "strategy", "-q", "--set", "duration=4s", "--seeds", "1", "--loss", "5%"];
    let more = ["--strategies", "rs-10-3,retransmit", "--sweep", "--format", "json"];
    let value: Value = serde_json::from_str(&printed(&[&arguments[..], &more].concat())).unwrap();
    assert!(value["command"].as_str().unwrap().ends_with(" --sweep"));
    let strategies = &value["cells"][0]["strategies"];
    let [low, high] = [0, 1].map(|end| strategies[0]["swept_interval_pct"][end].as_f64().unwrap());
    // 0.05 × P(three or more of twelve others are lost) is 9.78e-4, and an interval of 95 % misses it
    // once in twenty times; the seed is fixed, and this is none of them.
    assert!(low < 0.0978 && 0.0978 < high && high - low < 0.01, "{low} to {high}");
    assert!(strategies[1]["swept_residual_loss_pct"].is_null(), "retransmission is no code");
}

#[test]
fn bench_csv_has_a_row_for_each_link_strategy_and_seed() {
    let text = bench(&["--format", "csv"]);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 1 + 2 * 4 * 2);
    let width = rows[0].split(',').count();
    assert!(rows.iter().all(|row| row.split(',').count() == width), "{text}");
    assert!(rows[1].starts_with("0,,20,110,none,UDP none,true,0,1,"), "{}", rows[1]);
}

#[test]
fn without_axes_the_link_is_the_scenarios_own() {
    let text = printed(&[
        "bench",
        "strategy",
        "-q",
        "--scenario",
        "lan-clean",
        "--set",
        "duration=3s",
        "--seeds",
        "1",
        "--strategies",
        "none",
    ]);
    assert!(text.lines().any(|line| line == "deadline 100 ms"), "{text}");
}

#[test]
fn processor_time_is_a_column_of_the_table_only() {
    assert!(bench(&["--cpu"]).contains("us/frame"));
    assert_eq!(bench(&["--cpu", "--format", "csv"]), bench(&["--format", "csv"]));
}

#[test]
fn wrong_usage_names_what_is_wrong() {
    for (arguments, part) in [
        (&["--loss", "1,2,5"][..], "`5` has no unit"),
        (&["--loss", "1%,x%"], "x%"),
        (&["--rtt", "20"], "`20` has no unit"),
        (&["--burst", "4"], "bursts need a loss"),
        (&["--loss", "5%", "--burst", "0.5"], "0.5"),
        (&["--loss", "80%", "--burst", "2"], "cannot make 80 % loss"),
        (&["--strategies", "rs-10-4"], "did you mean `rs-10-3`?"),
        (&["--seeds", "0"], "at least one seed"),
    ] {
        let output = fhsim(&[&["bench", "strategy"][..], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    let output = fhsim(&["bench", "strategy", "--set", "contender.none.udp.rat=1"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown key `rat`"));
}

/// A recommendation for frames of five packets on the bench with losses one by one at this rate and this
/// round trip; the deadline leaves 100 ms beyond the way there. All frames alike leave little to chance,
/// so that few seeds are enough.
fn recommendation(loss: &str, round_trip_ms: u32, more: &[&str]) -> String {
    let delay = round_trip_ms / 2;
    let deadline = format!("{}ms", delay + 100);
    let sets = [
        "duration=6s".to_owned(),
        "traffic.down.screen={constant={rate='30Hz',size='5kB',dependency='regions'}}".to_owned(),
        format!("path.down.delay={delay}ms"),
        format!("path.up.delay={delay}ms"),
        format!("path.down.loss.iid.rate={loss}"),
        format!("path.up.loss.iid.rate={loss}"),
    ];
    let mut arguments = vec!["recommend", "bench", "-q", "--seeds", "5", "--deadline", &deadline];
    for set in &sets {
        arguments.extend(["--set", set]);
    }
    arguments.extend(more);
    printed(&arguments)
}

#[test]
fn a_clean_link_needs_no_error_correction() {
    let text = recommendation("0%", 40, &[]);
    assert!(text.contains("No error correction is needed"), "{text}");
    assert!(text.contains("[contender.none]\nudp = { fec = \"none\""), "{text}");
}

#[test]
fn where_a_round_trip_fits_the_deadline_retransmission_alone_is_better() {
    let text = recommendation("2%", 20, &[]);
    assert!(text.contains("Retransmission alone is the better choice"), "{text}");
    assert!(text.contains("[contender.retransmit]"), "{text}");
}

#[test]
fn where_it_does_not_a_code_is_right_and_the_fragment_can_be_pasted() {
    // One of the six packets of a frame and its repair packet may be lost: all but 0.6 % are whole.
    let text = recommendation("2%", 200, &["--target", "98%"]);
    assert!(text.contains("is the cheapest that reaches 98 %"), "{text}");
    let fragment = &text[text.find("[contender.").unwrap()..];
    let table: toml::Table = fragment.parse().unwrap();
    let (_, contender) = table["contender"].as_table().unwrap().iter().next().unwrap();
    let udp = contender["udp"].as_table().unwrap();
    assert!(udp.contains_key("fec") || udp.contains_key("preset"), "{fragment}");
    let toml = recommendation("2%", 200, &["--target", "98%", "--format", "toml"]);
    assert!(toml.starts_with("\n# ") && toml.ends_with(fragment), "{toml}");
}

#[test]
fn where_nothing_reaches_the_target_it_says_so() {
    let text = recommendation("20%", 200, &["--max-overhead", "10%"]);
    assert!(text.contains("Nothing that costs at most 10 % more bytes reaches 99.5 %."), "{text}");
}

#[test]
fn a_scenario_without_a_picture_has_no_answer() {
    let output = fhsim(&[
        "recommend",
        "bench",
        "-q",
        "--set",
        "duration=3s",
        "--set",
        "traffic.down.screen={keystrokes={per-second=5}}",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no frames of a picture"));
}
