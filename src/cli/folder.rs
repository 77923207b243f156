//! The folder of `--out`: the results of one run, for programs.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use framehawk_sim::report::csv;
use framehawk_sim::report::json::Report;
use framehawk_sim::runner::Outcome;
use framehawk_sim::scenario::Draft;

const FILES: [&str; 3] = ["result.json", "result.csv", "scenario.toml"];

/// Makes the folder for the results; refuses one that holds anything else, so that no run can overwrite
/// what is not its own.
pub(super) fn claim(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name();
        if !FILES.iter().any(|file| name == *file) {
            bail!("{} holds something else: {}", folder.display(), name.display());
        }
    }
    Ok(())
}

/// Writes the results of `draft` into the folder.
pub(super) fn write(folder: &Path, draft: &Draft, outcome: &Outcome, report: &Report) -> anyhow::Result<()> {
    let scenario = toml::to_string_pretty(&draft.file).context("cannot write the scenario as TOML")?;
    for (name, text) in FILES.iter().zip([report.to_text(), csv::table(outcome), scenario]) {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
