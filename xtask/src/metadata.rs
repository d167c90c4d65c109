//! What `cargo metadata --no-deps` says about the workspace: packages, their imports, their targets.

use serde::Deserialize;

use crate::error::{Context as _, Result};
use crate::process::{self, When};

/// The workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Its packages.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds.
    pub(crate) target_directory: std::path::PathBuf,
}

/// One package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Everything that its manifest imports, in this workspace or not.
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    /// What cargo builds of it.
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The imported package, whatever it is renamed to.
    pub(crate) name: String,
    /// `None` is a normal one; else `dev` or `build`.
    #[serde(default)]
    pub(crate) kind: Option<String>,
}

/// A library, binary, example or test.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// `lib`, `bin`, `example`, `test` …
    pub(crate) kind: Vec<String>,
}

/// Asks cargo.
pub(crate) fn read() -> Result<Metadata> {
    let output = process::succeed(
        &mut process::cargo(&["metadata", "--no-deps", "--format-version=1"]),
        When::Working,
    )?;
    serde_json::from_slice(&output.stdout)
        .context(|| "failed to read what `cargo metadata` printed".to_owned())
}

impl Metadata {
    /// The names of integration tests of kind `test`, sorted, each once.
    pub(crate) fn test_targets(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .packages
            .iter()
            .flat_map(|package| &package.targets)
            .filter(|target| target.kind.iter().any(|kind| kind == "test"))
            .map(|target| target.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Does this package exist?
    #[cfg(test)]
    pub(crate) fn has(&self, package: &str) -> bool {
        self.packages.iter().any(|candidate| candidate.name == package)
    }
}
