//! Imports point downwards only, and what belongs to one layer stays in it.

use std::fs;
use std::path::{Path, PathBuf};

/// What each module may import beside the vocabulary and itself. A new edge here is a change of the
/// design: say why in the commit.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("impair", &[]),
    ("fec", &[]),
    ("transport", &["fec"]),
    ("tcp", &[]),
    // Its streams wait in TCP's queue and may have its BBR; its datagrams are cut, numbered and put together
    // as over UDP.
    ("quic", &["transport", "tcp"]),
    ("session", &["transport", "tcp"]),
    ("traffic", &[]),
    ("ledger", &[]),
    ("measure", &[]),
    ("drive", &["impair", "transport", "tcp", "quic", "session", "traffic"]),
    ("scenario", &["impair", "fec", "transport", "tcp", "quic", "session", "traffic", "measure"]),
    (
        "runner",
        &[
            "impair",
            "transport",
            "tcp",
            "quic",
            "session",
            "traffic",
            "ledger",
            "measure",
            "drive",
            "scenario",
        ],
    ),
    ("lab", &["impair", "fec", "transport", "traffic", "measure", "scenario", "runner"]),
    // How well time was kept is reported like a result.
    ("report", &["measure", "drive", "scenario", "runner", "lab"]),
    ("cli", &["fec", "session", "drive", "measure", "scenario", "runner", "lab", "report"]),
    ("report", &["measure", "scenario", "runner", "lab"]),
    ("cli", &["fec", "session", "measure", "drive", "scenario", "runner", "lab", "report"]),
];

/// The modules that everything may use, and that use only each other.
const VOCABULARY: &[&str] = &["time", "units", "rng", "frame", "record", "endpoint"];

/// Words and the modules that may contain them.
const AT_HOME: &[(&str, &[&str])] = &[
    ("clap::", &["cli", "main"]),
    ("println!(", &["cli", "main"]),
    ("indicatif::", &["cli"]),
    ("anyhow::", &["cli", "main"]),
    // The vocabulary, because records travel between processes.
    ("serde::", &["time", "units", "frame", "endpoint", "record", "drive", "scenario", "report"]),
    ("schemars::", &["scenario", "report", "cli"]),
    ("rayon::", &["runner", "lab"]),
    ("tokio::", &["drive"]),
    ("nix::", &["drive"]),
    ("ratatui::", &["cli"]),
    ("getrandom::", &["drive"]),
    ("quinn_proto::", &["quic"]),
];

/// Words and the files and folders under `src` that may contain them.
const AT_HOME_IN: &[(&str, &[&str])] = &[
    // Vector instructions, and the system calls that no crate wraps.
    ("unsafe ", &["fec/gf256", "drive/kernel/sys.rs"]),
    ("unsafe_code", &["fec/gf256", "drive/kernel/sys.rs"]),
    ("std::arch", &["fec/gf256"]),
    ("tokio::", &["drive/live"]),
];

/// Every source file with the top-level module that it belongs to.
fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found
        .into_iter()
        // Tests may join what the code keeps apart.
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| {
            let within = path.strip_prefix(&root).unwrap();
            let module = within.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (module, path, text)
        })
        .collect()
}

/// The lines that are code, with their numbers: no comments, and nothing of the tests at the foot.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(number, line)| (number + 1, line))
}

/// Whether `word` is in the line, and not as the end of a longer name: `unix::` is not `nix::`.
fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(place, _)| {
        let before = line[..place].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
    })
}

#[test]
fn imports_point_downwards_only() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed);
        if allowed.is_none() && !VOCABULARY.contains(&&*module) && module != "lib" && module != "main" {
            wrong.push(format!("{} is in no layer", path.display()));
        }
        for (number, line) in code(&text) {
            for import in line.split("crate::").skip(1) {
                let end = import.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(import.len());
                let name = &import[..end];
                let known = MAY_IMPORT.iter().any(|(module, _)| *module == name);
                if known && name != module && !allowed.unwrap_or_default().contains(&name) {
                    wrong.push(format!("{}:{number}: {module} imports {name}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_belongs_to_one_layer_stays_in_it() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        for (number, line) in code(&text) {
            for (word, homes) in AT_HOME {
                if mentions(line, word) && !homes.contains(&&*module) {
                    wrong.push(format!("{}:{number}: {word} outside {homes:?}", path.display()));
                }
            }
            for (word, homes) in AT_HOME_IN {
                let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
                if mentions(line, word) && !homes.iter().any(|home| path.starts_with(source.join(home))) {
                    wrong.push(format!("{}:{number}: {word} outside {homes:?}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
