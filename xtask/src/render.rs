//! `cargo xtask render-dashboards`: pictures of the dashboards, drawn by Grafana's own components from recorded answers.
//!
//! What draws is `xtask/render/`; [ADR 0018](../../docs/adr/0018-pictures-of-dashboards.md) says why. Node, npm and Chromium are needed
//! for this alone, so no step of `cargo xtask test` makes pictures.

mod recording;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::RenderDashboardsOptions;
use crate::error::{Context as _, Error, Result};
use crate::metadata;
use crate::process::{self, When};

const DASHBOARDS: &str = "dashboards";
const RENDERER: &str = "xtask/render";
const PICTURES: &str = "docs/images";
/// How many panels that are newer than the recording are named under each heading.
const NAMED: usize = 6;
/// What npm installs by.
const PACKAGES: &[&str] = &["package.json", "package-lock.json"];

/// Draws the dashboards that the options choose.
pub(crate) fn run(options: &RenderDashboardsOptions) -> Result<String> {
    if options.record {
        recording::record(&stems(Path::new(DASHBOARDS), "json")?)?;
    }
    let [node, npm, chromium] = ["node", "npm", "chromium"].map(program);
    let (node, npm, chromium) = (node?, npm?, chromium?);
    let chosen = chosen(options.only.as_deref())?;
    for name in &chosen {
        warn_of_newer(name)?;
    }
    let work = metadata::read()?.target_directory.join("render");
    install(&npm, &work)?;
    let files: Vec<String> = chosen.iter().map(|name| format!("{DASHBOARDS}/{name}.json")).collect();
    let out = options.out.clone().unwrap_or_else(|| PICTURES.into());
    let wanted = json!({
        "dashboards": files, "recorded": recording::FOLDER, "out": out, "work": work, "chromium": chromium, "open": options.open,
    });
    let script = format!("{RENDERER}/render.mjs");
    process::succeed(&mut process::command(node, &[&script, &wanted.to_string()]), When::Working)?;
    Ok(format!("{} pictures in {}", files.len(), out.display()))
}

/// Names the panels that the recording cannot answer, since a picture without data would look like a fault of the dashboard.
fn warn_of_newer(name: &str) -> Result<()> {
    let file = format!("{name}.json");
    let [dashboard, recorded] =
        [DASHBOARDS, recording::FOLDER].map(|folder| read(&Path::new(folder).join(&file)));
    let newer = recording::newer_than(&dashboard?, &recorded?);
    if newer.is_empty() {
        return Ok(());
    }
    println!(
        "{name}: newer than the recording, so drawn without data; `--record` records again, with an engine:"
    );
    for (heading, titles) in newer {
        let all = titles.len();
        let mut named: Vec<String> = titles.into_iter().take(NAMED).collect();
        if all > NAMED {
            named.push(format!("and {} more", all - NAMED));
        }
        println!("  {heading}: {}", named.join(", "));
    }
    Ok(())
}

fn read(file: &Path) -> Result<serde_json::Value> {
    let text = std::fs::read_to_string(file).context(|| format!("failed to read {}", file.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::failed(format!("failed to parse {}: {error}", file.display())))
}

fn program(name: &str) -> Result<PathBuf> {
    process::find_program(name).ok_or_else(|| {
        Error::failed(format!(
            "failed to find {name}, which draws pictures; `apt-get install nodejs npm chromium`"
        ))
    })
}

/// Names of dashboards, without the end of the file's name.
fn chosen(only: Option<&str>) -> Result<Vec<String>> {
    let all = stems(Path::new(DASHBOARDS), "json")?;
    match only {
        None => Ok(all),
        Some(name) if all.iter().any(|one| one == name) => Ok(vec![name.to_owned()]),
        Some(name) => {
            Err(Error::failed(format!("no dashboard is named {name:?}; there are {}", all.join(", "))))
        }
    }
}

/// The names of a folder's files with this extension, without it, sorted.
fn stems(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let attempt = || format!("failed to list {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).context(attempt)? {
        let path = entry.context(attempt)?.path();
        if path.extension().is_some_and(|end| end == extension) {
            found.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    found.sort();
    Ok(found)
}

/// The locked packages, installed unless they are.
fn install(npm: &Path, work: &Path) -> Result<()> {
    let lists = |name: &str| (Path::new(RENDERER).join(name), work.join(name));
    let is_same = |name: &&str| {
        let (wanted, there) = lists(name);
        std::fs::read(wanted).ok() == std::fs::read(there).ok()
    };
    // npm writes this file last.
    if PACKAGES.iter().all(is_same) && work.join("node_modules/.package-lock.json").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(work).context(|| format!("failed to make {}", work.display()))?;
    for name in PACKAGES {
        let (wanted, there) = lists(name);
        std::fs::copy(&wanted, &there).context(|| format!("failed to copy {}", wanted.display()))?;
    }
    println!("npm installs what {RENDERER}/package-lock.json names");
    let mut ci = process::command(npm, &["ci", "--no-audit", "--no-fund"]);
    process::succeed(ci.current_dir(work), When::Working).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dashboard_has_a_recording_and_a_picture_and_nothing_else_has() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let names = |folder: &str, end: &str| stems(&root.join(folder), end).expect("listed");
        let dashboards = names(DASHBOARDS, "json");
        assert!(!dashboards.is_empty());
        assert_eq!(names(recording::FOLDER, "json"), dashboards);
        assert_eq!(names(PICTURES, "png"), dashboards);
    }
}
