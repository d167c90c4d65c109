//! `cargo xtask gen-dashboards`: what the crate `container-mixin` derives from the catalogue, written or checked.
//!
//! A file that is checked in and that nothing makes any more is stale, too: [`OWNED`] names the folders in which every file is
//! made here. A directory that `--out` names may hold other people's files: nothing in it is removed.

use std::path::{Path, PathBuf};

use container_mixin::{Output, Settings};

use crate::cli::GenDashboardsOptions;
use crate::codegen;
use crate::error::{Context as _, Error, Result};

/// Folders and the ends of the file names in them of which every file is made here.
const OWNED: &[(&str, &str)] = &[
    ("dashboards", ".json"),
    ("deploy/prometheus/rules", ".yml"),
    ("deploy/prometheus/tests", ".yml"),
    ("docs/runbooks", ".md"),
];

/// Writes or checks every file that the options choose.
pub(crate) fn run(options: &GenDashboardsOptions) -> Result<String> {
    let settings = settings(options)?;
    if !settings.is_default() && options.out.is_none() {
        return Err(Error::failed(
            "what is checked in has native names and default settings; --profile and --set want --out DIR",
        ));
    }
    let mut output = container_mixin::files(&settings)
        .context(|| "failed to derive dashboards from the catalogue".to_owned())?;
    for left_out in &output.left_out {
        println!("left out: {} {}", left_out.what, left_out.reason);
    }
    let all = output.files.len();
    if let Some(filter) = &options.filter {
        output.files.retain(|file| file.path.contains(filter.as_str()));
        if output.files.is_empty() {
            return Err(Error::failed(format!("no path of {all} files contains {filter:?}")));
        }
    }
    let root = options.out.clone().unwrap_or_default();
    let is_whole = options.filter.is_none() && options.out.is_none();
    let orphans = if is_whole { orphans(&root, &output)? } else { Vec::new() };
    apply(&root, &output, &orphans, options.check)
}

/// What `cargo xtask test` asks.
pub(crate) fn check() -> Result<String> {
    run(&GenDashboardsOptions {
        check: true,
        profile: Settings::default().profile().name.to_owned(),
        ..GenDashboardsOptions::default()
    })
}

fn settings(options: &GenDashboardsOptions) -> Result<Settings> {
    let read = || "failed to read the options".to_owned();
    let mut settings = Settings::default().with_profile(&options.profile).context(read)?;
    for set in &options.set {
        settings = settings.with_set(set).context(read)?;
    }
    Ok(settings)
}

fn apply(root: &Path, output: &Output, orphans: &[PathBuf], check: bool) -> Result<String> {
    let mut stale = Vec::new();
    for file in &output.files {
        let path = root.join(&file.path);
        if std::fs::read_to_string(&path).is_ok_and(|checked_in| checked_in == file.text) {
            continue;
        }
        if check {
            print!("{}", codegen::diff(&path, &file.text)?);
        } else {
            codegen::write(&path, &file.text)?;
        }
        stale.push(file.path.clone());
    }
    for orphan in orphans {
        if !check {
            std::fs::remove_file(orphan).context(|| format!("failed to remove {}", orphan.display()))?;
        }
        stale.push(format!("{} (nothing makes it any more)", orphan.display()));
    }
    match (stale.is_empty(), check) {
        (true, _) => Ok(format!("{} dashboards, rules and pages are up to date", output.files.len())),
        (false, false) => Ok(format!("wrote {}", stale.join(", "))),
        (false, true) => {
            Err(Error::failed(format!("stale: {}; run `cargo xtask gen-dashboards`", stale.join(", "))))
        }
    }
}

fn orphans(root: &Path, output: &Output) -> Result<Vec<PathBuf>> {
    let mut orphans = Vec::new();
    for (folder, end) in OWNED {
        let folder = root.join(folder);
        if !folder.exists() {
            continue;
        }
        let failed = || format!("failed to list {}", folder.display());
        for entry in std::fs::read_dir(&folder).context(failed)? {
            let path = entry.context(failed)?.path();
            let made = output.files.iter().any(|file| root.join(&file.path) == path);
            if !made && path.to_string_lossy().ends_with(end) {
                orphans.push(path);
            }
        }
    }
    orphans.sort();
    Ok(orphans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> GenDashboardsOptions {
        GenDashboardsOptions {
            profile: "native".to_owned(),
            set: words.iter().map(|word| (*word).to_owned()).collect(),
            ..GenDashboardsOptions::default()
        }
    }

    #[test]
    fn other_settings_never_overwrite_what_is_checked_in() {
        let error = run(&options(&["alert.X.threshold=1"])).expect_err("no --out").to_string();
        assert!(error.contains("--out"), "{error}");
    }

    #[test]
    fn a_setting_that_nothing_knows_is_a_mistake() {
        let dir = tempfile::tempdir().expect("a directory");
        let options = GenDashboardsOptions { out: Some(dir.path().into()), ..options(&["no.such=1"]) };
        let error = run(&options).expect_err("unknown").to_string();
        assert!(error.contains("no.such"), "{error}");
    }

    #[test]
    fn a_stale_or_forgotten_file_is_found_and_mended() {
        let dir = tempfile::tempdir().expect("a directory");
        let old = ["dashboards/old.json", "deploy/prometheus/rules/old.yml", "docs/runbooks/Old.md"];
        for file in old.map(|file| dir.path().join(file)) {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("makes");
            std::fs::write(file, "{}").expect("writes");
        }
        let output = container_mixin::files(&Settings::default()).expect("all can be made");
        let all = |check| apply(dir.path(), &output, &orphans(dir.path(), &output)?, check);
        let error = all(true).expect_err("stale").to_string();
        for file in old {
            assert!(error.contains(&format!("{file} (nothing makes it any more)")), "{error}");
        }
        all(false).expect("writes");
        all(true).expect("up to date");
        assert!(old.iter().all(|file| !dir.path().join(file).exists()));
    }

    #[test]
    fn what_lies_beside_the_files_in_another_directory_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let theirs = dir.path().join("docs/runbooks/Theirs.md");
        std::fs::create_dir_all(theirs.parent().expect("a folder")).expect("makes");
        std::fs::write(&theirs, "# Theirs").expect("writes");
        let options = |check| GenDashboardsOptions { check, out: Some(dir.path().into()), ..options(&[]) };
        run(&options(false)).expect("writes");
        run(&options(true)).expect("up to date");
        assert!(theirs.exists());
    }
}
