//! Files that the binary writes about itself.
//!
//! [`GENERATED`] lists them. Each is checked in, names its command by this table, and `--check` fails with a diff when
//! the binary would write it differently.

use std::path::{Path, PathBuf};

use crate::cli::CodegenOptions;
use crate::error::{Context as _, Error, Result};
use crate::metadata;
use crate::process::{self, When};

/// A file and the arguments of `container-exporter` whose stdout it is.
struct Generated {
    file: &'static str,
    arguments: &'static [&'static str],
}

const GENERATED: &[Generated] = &[
    Generated { file: "docs/metrics.md", arguments: &["metrics", "--format", "markdown"] },
    Generated { file: "docs/configuration.md", arguments: &["config", "docs"] },
    Generated { file: "bins/container-exporter/default-config.toml", arguments: &["config", "default"] },
];

/// Builds the binary, then writes or checks every file.
pub(crate) fn run(options: &CodegenOptions) -> Result<String> {
    let built = process::show(&mut process::cargo(&["build", "--quiet", "--package", "container-exporter"]))?;
    if !built.status.success() {
        return Err(Error::failed("failed to build container-exporter"));
    }
    run_built(options.check)
}

/// The same with a binary that is built already.
pub(crate) fn run_built(check: bool) -> Result<String> {
    let binary = metadata::read()?.target_directory.join("debug/container-exporter");
    let mut stale = Vec::new();
    for generated in GENERATED {
        let fresh = output_of(&binary, generated.arguments)?;
        let file = Path::new(generated.file);
        if std::fs::read_to_string(file).is_ok_and(|checked_in| checked_in == fresh) {
            continue;
        }
        if check {
            print!("{}", diff(file, &fresh)?);
        } else {
            write(file, &fresh)?;
        }
        stale.push(generated.file);
    }
    match (stale.is_empty(), check) {
        (true, _) => Ok(format!("{} generated files are up to date", GENERATED.len())),
        (false, false) => Ok(format!("wrote {}", stale.join(", "))),
        (false, true) => {
            Err(Error::failed(format!("stale: {}; run `cargo xtask codegen`", stale.join(", "))))
        }
    }
}

/// What the binary prints, untouched by the environment of whoever runs this.
fn output_of(binary: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = process::command(binary, arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CONTAINER_EXPORTER") || text.starts_with("OTEL_") {
            command.env_remove(&name);
        }
    }
    let finished = process::succeed(&mut command, When::Working)?;
    let text = String::from_utf8(finished.stdout)
        .context(|| format!("failed to read what `{}` printed", process::shown(&command)))?;
    if text.is_empty() {
        return Err(Error::failed(format!("`{}` printed nothing", process::shown(&command))));
    }
    Ok(text)
}

pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).context(|| format!("failed to create {}", directory.display()))?;
    }
    std::fs::write(file, text).context(|| format!("failed to write {}", file.display()))
}

/// A unified diff from the checked-in file to the fresh text.
pub(crate) fn diff(file: &Path, fresh: &str) -> Result<String> {
    let scratch: PathBuf = std::env::temp_dir().join(format!("codegen-{}", std::process::id()));
    write(&scratch, fresh)?;
    let name = file.display().to_string();
    let checked_in = if file.exists() { name.as_str() } else { "/dev/null" };
    let arguments = ["-u", "--label", &name, "--label", "generated", checked_in];
    let compared = process::capture(process::command("diff", &arguments).arg(&scratch), When::Working);
    // The scratch file is in the temporary directory; failing to remove it costs nothing.
    let _ = std::fs::remove_file(&scratch);
    Ok(compared?.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_is_stale() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("metrics.md");
        std::fs::write(&file, "one\ntwo\n").expect("writes");
        let shown = diff(&file, "one\nthree\n").expect("diffs");
        assert!(shown.contains("-two\n") && shown.contains("+three\n"), "{shown}");
        let shown = diff(&dir.path().join("absent.md"), "new\n").expect("diffs");
        assert!(shown.contains("+new\n"), "{shown}");
    }

    #[test]
    fn a_command_that_prints_nothing_writes_no_file() {
        let error = output_of(Path::new("true"), &["config", "docs"]).expect_err("empty").to_string();
        assert!(error.contains("`true config docs` printed nothing"), "{error}");
    }
}
