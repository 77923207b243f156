//! `fhsim run` and its results as programs read them: the same bytes whatever the machine, JSON that fits
//! its schema, and what is left of a run that was interrupted.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::spawn;
use std::time::Duration;

use framehawk_sim::measure::METRICS;
use serde_json::Value;
use tempfile::TempDir;

/// Three contenders, two of which finish at different times.
const SCENARIO: &str = r#"format = 1
duration = "1s"
[traffic.down.screen]
constant = { rate = "30Hz", size = "5kB", dependency = "chain" }
[measure]
warm-up = "200ms"
drain = "200ms"
[path.down]
delay = "20ms"
loss.iid.rate = "3%"
bottleneck = { rate = "20Mbit/s", queue.droptail = "100ms" }
[path.up]
delay = "20ms"
[contender.tcp-cubic]
tcp = { congestion = "cubic" }
[contender.udp]
udp = {}
[contender.udp-rs]
udp = { fec.reed-solomon = { source = 10, repair = 3 }, rate = "delay" }
[expect]
rules = ["udp-rs.network_loss_pct >= 0"]
"#;

/// The scenario of the design, with a code of ours where it has one that adapts.
const DESIGN: &str = r#"format   = 1
about    = "Cafe Wi-Fi: fades and retries while a person scrolls"
duration = "60s"
seeds    = 10
[traffic.down.screen]
trace = { file = "traces/desktop-session-30fps.csv", dependency = "regions" }
deadline = "100ms"
encoder = "fixed"
[traffic.up.keys]
keystrokes = { per-second = 5 }
deadline = "100ms"
[session]
count = 1
ports = "3224-3324"
[display]
rate = "60Hz"
[measure]
warm-up = "2s"
[channel.radio]
two-state = { good = "900ms", bad = "60ms" }           # mean sojourns
[path]
mtu = 1500
[path.down]
delay = "18ms"
jitter.gamma = { mean = "4ms", deviation = "6ms", reorder = false }
loss.channel = { channel = "radio", good = "0.1%", bad = "40%" }
link-arq = { tries = 3, interval = "2ms" }
bottleneck = { rate = "20Mbit/s", queue.droptail = "100ms", channel = "radio", bad-factor = 0.3 }
[path.up]
delay = "18ms"
loss.channel = { channel = "radio", good = "0.1%", bad = "40%" }
[neighbour.download]
count = 1
tcp = { congestion = "cubic" }
[contender.tcp-cubic]
tcp = { congestion = "cubic" }
[contender.udp-rs]
udp = { datagram = 1200, fec.reed-solomon = { source = 10, repair = 3 }, retransmit = "never", rate = "fixed" }
[contender.framehawk]
udp = { fec.reed-solomon = { source = 10, repair = 3 }, retransmit = "deadline", stale = "drop", rate = "delay" }
[expect]
rules = ["framehawk.age_p99_ms < 150", "framehawk.age_p99_ms < 0.5 * tcp-cubic.age_p99_ms"]
baseline = "tcp-cubic"
"#;

/// A scenario with every table that there is.
const RICH: &str = r#"format = 1
about = "Everything at once"
duration = "2s"
seeds = 2
[traffic.down.screen]
desktop = { idle = 1, typing = 2.5, scrolling = 3, video = 0.5, dependency = "chain" }
deadline = "150ms"
encoder = "adaptive"
[traffic.up.keys]
keystrokes = { per-second = 7.5 }
[session]
count = 3
ports = "4000-4010"
[display]
rate = "59.94Hz"
[measure]
warm-up = "500ms"
drain = "1s"
[channel.radio]
two-state = { good = "900ms", bad = "60ms" }
[channel.oven]
periodic = { period = "20ms", bad = "10ms", phase = "3ms" }
[channel.tunnel]
scheduled = { at = ["500ms", "1500ms"], for = "100ms" }
[path]
mtu = 1400
[path.down]
delay = "18ms"
jitter.pareto = { mean = "4ms", deviation = "6ms", correlation = 0.25, reorder = true }
extra-delay = { channel = "oven", bad = "1ms" }
loss.gilbert-elliott = { loss = "2%", burst = 4, bad-loss = 0.5, good-loss = "0.1%", from = "established" }
link-arq = { tries = 3, interval = "2ms", in-order = false }
bottleneck = { rate = "20Mbit/s", queue.droptail = "64kB", channel = "radio", bad-factor = 0.3 }
outage = { channel = "tunnel", mode = "drop" }
reorder = { rate = "1%", gap = 5, correlation = 0.1 }
duplicate.rate = "0.5%"
corrupt.rate = 0.001
[path.up]
jitter.normal.deviation = "2ms"
loss.gilbert = { p = 0.01, r = "50%", at = "before-queue" }
bottleneck = { rate = "5Mbit/s", queue.fq-codel = { limit = 500, flows = 64, quantum = "300B", target = "4ms", ecn = false } }
outage = { at = ["1s"], for = "50ms", every = "5s" }
[neighbour.download]
tcp.congestion = "bbr"
[neighbour.video]
count = 2
udp = { rate = "fixed", pace = "2Mbit/s" }
traffic.constant = { rate = "30Hz", size = "5kB" }
[contender.tcp-reno]
tcp = { congestion = "reno", stale = "keep", notsent-lowat = "32kB", ecn = true }
[contender.repeat]
udp = { fec.repeat = { copies = 1, spacing = 4 }, reordering = 10 }
[contender.xor]
udp = { fec.xor = { source = 5, interleave = 4 }, retransmit = "always", stale = "keep" }
[contender.rs]
udp = { fec.reed-solomon = { source = 20, repair = 4, flush = "off" }, rate = "delay" }
[contender.per-frame]
udp = { fec.reed-solomon.per-frame = { percent = 20, minimum = 2 }, retransmit = "deadline" }
[expect]
rules = ["upper(rs.age_p99_ms) < 2 * lower(tcp-reno.age_p99_ms)"]
baseline = "tcp-reno"
"#;

/// A folder with these scenarios, and the traces beside them.
fn folder(scenarios: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in scenarios {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::create_dir(folder.path().join("traces")).unwrap();
    let trace = "traces/desktop-session-30fps.csv";
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(trace);
    fs::copy(shipped, folder.path().join(trace)).unwrap();
    folder
}

/// The program in this folder.
fn fhsim(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fhsim"));
    command.current_dir(folder).args(arguments);
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"] {
        command.env_remove(name);
    }
    command
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    fhsim(folder, arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What the schema of `of` has against `value`.
fn complaints(of: &str, value: &Value) -> Vec<String> {
    let schema = json(&output(Path::new("."), &["schema", of]));
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let folder = folder(&[("a.toml", SCENARIO)]);
    for format in ["json", "csv", "table"] {
        let [one, two, five] = ["1", "2", "5"].map(|threads| {
            output(
                folder.path(),
                &["run", "a.toml", "--format", format, "--seeds", "1..7", "--threads", threads],
            )
        });
        assert!(one.status.success() && !one.stdout.is_empty(), "{one:?}");
        assert_eq!((&one.stdout, &one.stderr), (&two.stdout, &two.stderr), "{format}");
        assert_eq!((&one.stdout, &one.stderr), (&five.stdout, &five.stderr), "{format}");
    }
}

#[test]
fn the_scenario_of_the_design_runs() {
    let folder = folder(&[("cafe.toml", DESIGN)]);
    let set = ["--set", "duration=10s", "--seeds", "1..2"];
    let run = output(folder.path(), &[&["run", "cafe.toml", "--format", "json"], &set[..]].concat());
    assert!(matches!(run.status.code(), Some(0 | 99)), "{run:?}");
    let result = json(&run);
    assert_eq!(complaints("result", &result), Vec::<String>::new());
    assert_eq!(result["baseline"], "tcp-cubic");
    assert_eq!(result["expectations"].as_array().unwrap().len(), 2);
    assert!(result["expectations"][0]["reason"].is_null(), "{}", result["expectations"]);
    for contender in result["contenders"].as_array().unwrap() {
        assert!(contender["metrics"]["frames_on_time_pct"].is_number(), "{}", contender["name"]);
    }
}

#[test]
fn the_table_says_what_was_run_and_stderr_how_to_repeat_it() {
    let folder = folder(&[("a.toml", SCENARIO)]);
    let run = output(folder.path(), &["run", "a.toml", "--seeds", "1..2", "--set", "session.count=3"]);
    let (table, said) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap());
    assert_eq!(table.lines().next(), Some("a | 1 s | seeds 1-2 | 3 sessions on ports 3224-3226"));
    let udp = table.lines().find(|line| line.starts_with("o udp ")).unwrap();
    assert!(udp.starts_with("o udp !") && table.contains("! no congestion control"), "{table}");
    assert_eq!(said.matches("warning: contender `udp` has no congestion control").count(), 1, "{said}");
    assert_eq!(
        said.lines().last(),
        Some("reproduce: fhsim run a.toml --seeds 1..2 --set session.count=3"),
        "{said}"
    );
    let quiet = output(folder.path(), &["run", "a.toml", "--seed", "1", "-q"]);
    assert!(quiet.stderr.is_empty(), "{quiet:?}");
}

#[test]
fn every_metric_has_a_value_or_a_reason_everywhere() {
    let folder = folder(&[("a.toml", SCENARIO)]);
    let lost =
        ["--set", "path.down.loss.iid.rate=100%", "--set", "expect.rules=[\"udp.frame_delay_p50_ms < 1e9\"]"];
    for sets in [&[][..], &lost[..]] {
        let run = output(
            folder.path(),
            &[&["run", "a.toml", "--format", "json", "--seeds", "1..3"], sets].concat(),
        );
        let result = json(&run);
        assert_eq!(complaints("result", &result), Vec::<String>::new());
        for contender in result["contenders"].as_array().unwrap() {
            for metric in METRICS {
                let key = metric.key;
                let has = |value: &Value| value.as_object().unwrap().contains_key(key);
                assert!(has(&contender["metrics"]) && has(&contender["intervals"]), "{key}");
                assert_eq!(
                    contender["metrics"][key].is_null(),
                    contender["absent"][key].is_string(),
                    "{key}"
                );
                for seed in contender["per_seed"].as_array().unwrap() {
                    assert!(has(&seed["metrics"]), "{key}");
                    assert_eq!(seed["metrics"][key].is_null(), seed["absent"][key].is_string(), "{key}");
                }
            }
        }
    }
}

#[test]
fn an_expectation_on_a_metric_without_a_value_is_not_met_and_says_why() {
    let folder = folder(&[("a.toml", SCENARIO)]);
    for (rule, sets) in [
        ("udp.frame_delay_p50_ms >= 0", &["--set", "path.down.loss.iid.rate=100%"][..]),
        ("upper(udp.age_p99_ms) >= 0", &[]),
    ] {
        let rules = format!("expect.rules=[\"{rule}\"]");
        let arguments = ["run", "a.toml", "--seed", "1", "--format", "json", "--set", &rules];
        let run = output(folder.path(), &[&arguments[..], sets].concat());
        assert_eq!(run.status.code(), Some(99), "{run:?}");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        let reason = json(&run)["expectations"][0]["reason"].as_str().unwrap().to_owned();
        assert!(said.contains(&format!("{rule}: NOT MET (no value and 0; {reason})")), "{said}");
    }
}

#[test]
fn csv_is_a_rectangle_of_numbers() {
    let folder = folder(&[("a.toml", SCENARIO)]);
    let lost = ["--set", "path.down.loss.iid.rate=100%"];
    let run = output(
        folder.path(),
        &[&["run", "a.toml", "--format", "csv", "--seeds", "1..2", "-q"], &lost[..]].concat(),
    );
    let text = String::from_utf8(run.stdout).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 1 + 3 * 2);
    for row in &rows {
        assert_eq!(row.len(), 3 + METRICS.len(), "{row:?}");
    }
    for field in rows[1..].iter().flat_map(|row| &row[2..]) {
        assert!(field.is_empty() || field.parse::<f64>().is_ok_and(f64::is_finite), "{field}");
    }
}

#[test]
fn scenarios_fit_their_schema_as_written_and_as_run() {
    let folder = folder(&[("rich.toml", RICH), ("cafe.toml", DESIGN), ("a.toml", SCENARIO)]);
    let mut files = vec!["rich.toml".into(), "cafe.toml".into(), "a.toml".into()];
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    files.extend(
        fs::read_dir(shipped)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "toml")),
    );
    for file in files {
        let path = folder.path().join(&file);
        let written: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let written = serde_json::to_value(written).unwrap();
        assert_eq!(complaints("scenario", &written), Vec::<String>::new(), "{}", path.display());
        let shown = output(folder.path(), &["scenario", "show", path.to_str().unwrap(), "--format", "json"]);
        assert_eq!(complaints("scenario", &json(&shown)), Vec::<String>::new(), "{}", path.display());
    }
    let run = output(folder.path(), &["run", "rich.toml", "--format", "json"]);
    assert!(matches!(run.status.code(), Some(0 | 99)), "{run:?}");
    assert_eq!(complaints("result", &json(&run)), Vec::<String>::new());
}

/// Waits for the program to be in the middle of its work: nothing that it prints tells when.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "a signal to a real process needs real time")]
fn wait(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Sends the signal of Ctrl-C.
#[cfg(unix)]
fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

#[cfg(unix)]
fn start(folder: &Path, arguments: &[&str]) -> Child {
    fhsim(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What came of it, which must come within half a minute. What it prints is read meanwhile: a full pipe
/// would hold it up.
#[cfg(unix)]
fn end(child: Child) -> Output {
    let id = child.id().to_string();
    let (sender, receiver) = mpsc::channel();
    spawn(move || sender.send(child.wait_with_output().unwrap()));
    receiver.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        panic!("it does not end");
    })
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_the_seeds_that_are_complete() {
    let folder = folder(&[("a.toml", SCENARIO)]);
    for format in ["json", "table"] {
        let into = format!("out-{format}");
        let arguments = ["run", "a.toml", "--seeds", "1..100000", "--format", format, "--out", &into];
        let child = start(folder.path(), &arguments);
        // Far less than all trials take, and far more than one of them.
        wait(1000);
        interrupt(&child);
        let run = end(child);
        assert_eq!(run.status.code(), Some(130), "{}", String::from_utf8_lossy(&run.stderr));
        let result: Value =
            serde_json::from_slice(&fs::read(folder.path().join(into).join("result.json")).unwrap()).unwrap();
        assert_eq!(complaints("result", &result), Vec::<String>::new());
        assert_eq!(result["complete"], false);
        let seeds = result["seeds"].as_array().unwrap().len();
        assert!(seeds > 0 && seeds < 100_000, "{seeds}");
        for contender in result["contenders"].as_array().unwrap() {
            assert_eq!(contender["per_seed"].as_array().unwrap().len(), seeds);
        }
        let said = String::from_utf8(run.stderr).unwrap();
        assert!(said.contains("Interrupted: not all of the run"), "{said}");
        if format == "table" {
            let table = String::from_utf8(run.stdout).unwrap();
            assert!(table.lines().next().unwrap().contains("incomplete"), "{table}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_second_interrupt_ends_at_once() {
    let folder = folder(&[("a.toml", SCENARIO)]);
    // One trial that takes far longer than anybody waits.
    let arguments = [
        "run",
        "a.toml",
        "--seed",
        "1",
        "--set",
        "duration=3600s",
        "--set",
        "session.count=101",
        "--set",
        "traffic.down.screen.constant.rate=1kHz",
        "--set",
        "path.down.bottleneck.rate=10Gbit/s",
    ];
    let mut child = start(folder.path(), &arguments);
    wait(1000);
    interrupt(&child);
    wait(300);
    assert!(child.try_wait().unwrap().is_none(), "the first one waits for the trials under way");
    interrupt(&child);
    let run = end(child);
    assert_eq!(run.status.code(), Some(130));
    assert!(run.stdout.is_empty());
    assert!(String::from_utf8_lossy(&run.stderr).contains("again to end at once"));
}
