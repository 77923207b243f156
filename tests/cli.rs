//! The command line as a person uses it, mostly when something is wrong.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// A scenario in which everything is right.
const RIGHT: &str = r#"format = 1
duration = "10s"
[traffic.down.screen]
constant = { rate = "30Hz", size = "5kB", dependency = "chain" }
[path.down]
delay = "20ms"
loss.iid.rate = "1%"
bottleneck = { rate = "20Mbit/s", queue.droptail = "100ms" }
[path.up]
delay = "20ms"
[contender.tcp-cubic]
tcp = { congestion = "cubic" }
[contender.udp-rs]
udp = { fec.reed-solomon = { source = 10, repair = 3 } }
[expect]
rules = ["udp-rs.age_p99_ms < 0.5 * tcp-cubic.age_p99_ms"]
"#;

/// The program in this folder, without anything of the environment that changes what it prints.
fn fhsim(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("fhsim").unwrap();
    command.current_dir(folder);
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"] {
        command.env_remove(name);
    }
    command
}

/// A folder with this text as `a.toml`.
fn folder(text: impl AsRef<[u8]>) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.toml"), text).unwrap();
    folder
}

/// What `check` says about this scenario on stderr; it must end with this code and print nothing.
fn check(text: impl AsRef<[u8]>, sets: &[&str], code: i32) -> String {
    let folder = folder(text);
    let mut command = fhsim(folder.path());
    command.args(["scenario", "check", "a.toml"]);
    for set in sets {
        command.args(["--set", set]);
    }
    let output = command.assert().code(code).get_output().clone();
    assert!(code == 0 || output.stdout.is_empty(), "a refused scenario prints no result");
    String::from_utf8(output.stderr).unwrap()
}

/// What is said about the right scenario with `from` replaced by `to`.
fn refused(from: &str, to: &str) -> String {
    assert!(RIGHT.contains(from), "{from}");
    check(RIGHT.replacen(from, to, 1), &[], 3)
}

#[test]
fn a_right_scenario_is_ok() {
    assert_eq!(check(RIGHT, &["contender.udp-rs.udp.rate=delay"], 0), "");
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    insta::assert_snapshot!(check(RIGHT, &["traffic.down.screen.deadline=20ms"], 0));
}

#[test]
fn a_wrong_recording_is_underlined_in_its_own_file() {
    let frames = "time_us,bytes,keyframe\n0,5000,1\n33000,-5,0\n";
    let folder = folder(RIGHT);
    for (file, text) in [("frames.csv", frames), ("loss.txt", "0101\n01x1\n"), ("rate.trace", "0\n5\n3\n")] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    for (set, place) in [
        ("traffic.down.screen.trace.file=frames.csv", "--> frames.csv:3:7"),
        ("path.down.loss.trace={ file = \"loss.txt\", lost = \"0\" }", "--> loss.txt:2:3"),
        ("path.down.bottleneck={ trace.file = \"rate.trace\" }", "--> rate.trace:3:1"),
    ] {
        for command in [&["scenario", "check"][..], &["run"]] {
            let output = fhsim(folder.path())
                .args(command)
                .args(["a.toml", "--set", set])
                .assert()
                .code(3)
                .get_output()
                .clone();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(place) && said.contains("expected") | said.contains("before"), "{said}");
            assert!(output.stdout.is_empty());
        }
    }
}

#[test]
fn an_unknown_key_is_underlined_with_the_nearest_one() {
    insta::assert_snapshot!(refused("delay = \"20ms\"", "dealy = \"20ms\""));
}

#[test]
fn an_unknown_model_is_underlined_with_the_known_ones() {
    insta::assert_snapshot!(refused("loss.iid.rate = \"1%\"", "loss.gilbrt = { p = 0.1, r = 0.5 }"));
}

#[test]
fn an_unknown_word_is_underlined_with_the_known_ones() {
    insta::assert_snapshot!(refused("\"chain\"", "\"chains\""));
}

#[test]
fn a_wrong_unit_and_a_missing_one_say_what_to_write() {
    insta::assert_snapshot!(refused("\"20Mbit/s\"", "\"20Mbps\""));
    insta::assert_snapshot!(refused("\"20ms\"", "20"));
}

#[test]
fn a_value_out_of_range_says_the_range() {
    insta::assert_snapshot!(refused("\"1%\"", "1.5"));
    insta::assert_snapshot!(refused("repair = 3", "repair = 250"));
    insta::assert_snapshot!(refused("\"10s\"", "\"100ms\""));
}

#[test]
fn a_value_of_the_wrong_type_says_the_type() {
    insta::assert_snapshot!(refused("source = 10", "source = \"ten\""));
    insta::assert_snapshot!(refused("source = 10", "source = -10"));
    insta::assert_snapshot!(refused("[path.up]\ndelay = \"20ms\"", "[path]\nup = 20"));
}

#[test]
fn a_missing_direction_is_not_lossless() {
    insta::assert_snapshot!(refused("[path.up]\ndelay = \"20ms\"\n", ""));
}

#[test]
fn two_models_of_one_stage_exclude_each_other() {
    insta::assert_snapshot!(refused(
        "loss.iid.rate = \"1%\"",
        "loss.iid.rate = \"1%\"\nloss.gilbert = { loss = \"1%\", burst = 4 }"
    ));
}

#[test]
fn a_channel_that_nobody_defined_is_an_error() {
    insta::assert_snapshot!(refused("loss.iid.rate = \"1%\"", "loss.channel = { channel = \"radio\" }"));
}

#[test]
fn a_trace_that_is_not_there_is_an_error() {
    insta::assert_snapshot!(refused(
        "constant = { rate = \"30Hz\", size = \"5kB\", dependency = \"chain\" }",
        "trace = { file = \"traces/none.csv\" }"
    ));
}

#[test]
fn a_bad_rule_is_underlined_where_it_is_bad() {
    insta::assert_snapshot!(refused("udp-rs.age_p99_ms <", "udp-sr.age_p99_ms <"));
    insta::assert_snapshot!(refused("udp-rs.age_p99_ms <", "udp-rs.age_p98_ms <"));
    insta::assert_snapshot!(refused("udp-rs.age_p99_ms <", "udp-rs.age_p99_ms =="));
}

#[test]
fn a_duplicate_key_and_a_syntax_error_are_underlined() {
    insta::assert_snapshot!(refused("format = 1", "format = 1\nformat = 1"));
    insta::assert_snapshot!(refused("format = 1", "format = "));
}

#[test]
fn several_problems_come_at_once() {
    let text = RIGHT.replacen("10s", "10", 1).replacen("repair = 3", "repair = 300", 1);
    insta::assert_snapshot!(check(text.replacen("size", "sise", 1), &["path.up.delay=-1ms"], 3));
}

#[test]
fn overrides_are_underlined_in_the_argument() {
    insta::assert_snapshot!(check(RIGHT, &["path.down.loss.iid.rate=5 percentage points"], 3));
    insta::assert_snapshot!(check(RIGHT, &["seeds=3", "path.down.los.iid.rate=5%"], 3));
    insta::assert_snapshot!(check(RIGHT, &["path.down.delay"], 3));
    insta::assert_snapshot!(check(RIGHT, &["path.down.delay.mean=1ms"], 3));
    insta::assert_snapshot!(check(RIGHT, &["expect.rules=[\"udp-rs.age_p99_ms < oops\"]"], 3));
    insta::assert_snapshot!(check(RIGHT, &["seeds=[1"], 3));
}

#[test]
fn files_that_are_no_scenario_say_why() {
    insta::assert_snapshot!(check("", &[], 3));
    insta::assert_snapshot!(check([b'a', b'\n', 0xff, 0xfe, 0], &[], 3));
    insta::assert_snapshot!(check("\0\0\0\0", &[], 3));
    insta::assert_snapshot!(check("#\n".repeat(600_000), &[], 3));
}

#[test]
fn directories_and_unknown_names_say_so() {
    let folder = folder(RIGHT);
    fs::create_dir(folder.path().join("scenarios")).unwrap();
    fs::write(folder.path().join("scenarios/mine.toml"), RIGHT).unwrap();
    let said = |word: &str| {
        let output = fhsim(folder.path()).args(["run", word]).assert().code(3).get_output().clone();
        String::from_utf8(output.stderr).unwrap()
    };
    insta::assert_snapshot!(said("scenarios"));
    insta::assert_snapshot!(said("none.toml"));
    insta::assert_snapshot!(said("mien"));
    insta::assert_snapshot!(said("lan-claen"));
    fhsim(folder.path()).args(["scenario", "check", "mine"]).assert().success();
}

#[test]
fn wrong_usage_ends_with_2() {
    let folder = folder(RIGHT);
    for arguments in [
        &["nonsense"][..],
        &["run"],
        &["run", "a.toml", "--seed", "-1"],
        &["run", "a.toml", "--seeds", "5..1"],
        &["run", "a.toml", "--seed", "1", "--seeds", "1..2"],
        &["run", "a.toml", "--format", "xml"],
        &["run", "a.toml", "--threads", "0"],
        &["explain", "age_p9_ms"],
        &["schema", "nothing"],
    ] {
        fhsim(folder.path()).args(arguments).assert().code(2);
    }
}

#[test]
fn the_bare_program_shows_seven_commands() {
    let folder = folder(RIGHT);
    let output = fhsim(folder.path()).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("  fhsim ")).count(), 7);
}

#[test]
fn the_effective_scenario_reads_back_as_itself() {
    let folder = folder(RIGHT);
    let show = |file: &str, sets: &[&str]| {
        let mut command = fhsim(folder.path());
        command.args(["scenario", "show", "--effective", file]).args(sets);
        String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
    };
    let set = ["--set", "path.down.loss.gilbert.loss=2%", "--set", "path.down.loss.gilbert.burst=4"];
    let effective = show("a.toml", &set);
    assert!(effective.contains("gilbert") && !effective.contains("iid"), "{effective}");
    fs::write(folder.path().join("b.toml"), &effective).unwrap();
    assert_eq!(show("b.toml", &[]), effective);
}

#[test]
fn schemas_fit_what_they_describe() {
    let folder = folder(RIGHT);
    let json = |arguments: &[&str]| -> serde_json::Value {
        let output = fhsim(folder.path()).args(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let pairs = [
        (json(&["schema", "scenario"]), json(&["scenario", "show", "a.toml", "--format", "json"])),
        (json(&["schema", "result"]), json(&["run", "a.toml", "--format", "json", "--seed", "1", "-q"])),
    ];
    for (schema, value) in pairs {
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[test]
fn the_exit_code_tells_whether_the_expectations_are_met() {
    for (rule, code) in [("1 < 2", 0), ("1 > 2", 99)] {
        let folder = folder(RIGHT.replacen("udp-rs.age_p99_ms < 0.5 * tcp-cubic.age_p99_ms", rule, 1));
        let output = fhsim(folder.path())
            .args(["run", "a.toml", "--seed", "1"])
            .assert()
            .code(code)
            .get_output()
            .clone();
        let (result, said) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(result.contains("tcp-cubic") && result.is_ascii(), "{result}");
        assert!(!result.contains("verdict") && said.contains("verdict") && said.contains(rule), "{said}");
        let quiet = fhsim(folder.path())
            .args(["run", "a.toml", "--seed", "1", "-q"])
            .assert()
            .code(code)
            .get_output()
            .clone();
        assert!(quiet.stderr.is_empty());
    }
}

#[test]
fn results_go_into_a_folder_that_holds_nothing_else() {
    let folder = folder(RIGHT);
    let run = || {
        let mut command = fhsim(folder.path());
        command.args(["run", "a.toml", "--seed", "1", "--out", "out"]);
        command.assert().get_output().clone()
    };
    assert_ne!(run().status.code(), Some(1));
    for name in ["result.json", "result.csv", "scenario.toml"] {
        assert!(folder.path().join("out").join(name).is_file(), "{name}");
    }
    assert_ne!(run().status.code(), Some(1), "results may be written again");
    fs::write(folder.path().join("out/thesis.txt"), "precious").unwrap();
    let refused = run();
    assert_eq!(refused.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(refused.stderr).unwrap());
}

#[test]
fn colors_are_for_terminals_and_for_who_forces_them() {
    let folder = folder(RIGHT.replacen("delay", "dealy", 1));
    let escapes = |name: &str, value: &str| {
        let mut command = fhsim(folder.path());
        let output = command.args(["scenario", "check", "a.toml"]).env(name, value).output().unwrap();
        output.stderr.contains(&0x1b)
    };
    assert!(!escapes("UNUSED", "1"), "a pipe gets no colors");
    assert!(escapes("CLICOLOR_FORCE", "1"));
    assert!(!escapes("NO_COLOR", "1"));
}

#[test]
fn the_codec_bench_says_what_each_scheme_costs_in_a_table_and_in_json() {
    let folder = folder("");
    let bench = |arguments: &[&str]| {
        let mut command = fhsim(folder.path());
        command.args(["bench", "codec", "--samples", "1"]).args(arguments);
        String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
    };
    let table = bench(&["reed-solomon 10"]);
    assert!(table.starts_with("instructions: ") && table.contains("median of 1"), "{table}");
    let line = table.lines().find(|line| line.starts_with("reed-solomon 10+3 ")).unwrap();
    assert!(line.contains("  encode ") && line.contains("(3 of 10 lost)"), "{line}");

    let report: serde_json::Value = serde_json::from_str(&bench(&["xor", "--format", "json"])).unwrap();
    assert_eq!(report["packet_bytes"], 1_200);
    let schemes = report["schemes"].as_array().unwrap();
    assert!(schemes.len() > 1);
    for scheme in schemes {
        assert!(scheme["scheme"].as_str().unwrap().contains("xor"), "{scheme}");
        for key in ["encode_mb_per_s", "decode_mb_per_s", "frame_us", "memcpy_ratio"] {
            assert!(scheme[key].as_f64().unwrap() > 0.0, "{key}: {scheme}");
        }
    }
}

#[test]
fn a_scheme_that_is_none_is_wrong_usage_of_the_codec_bench() {
    let folder = folder("");
    let output = fhsim(folder.path()).args(["bench", "codec", "turbo"]).assert().code(2).get_output().clone();
    assert!(String::from_utf8(output.stderr).unwrap().contains("no scheme has `turbo` in its name"));
}
