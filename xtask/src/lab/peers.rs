//! The programs that the tests send OTLP to, built from their Go modules: two versions of Prometheus and an OpenTelemetry Collector.
//!
//! Why they are built: `docs/adr/0016-peers-from-modules.md`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::install::{self, Kit};
use crate::lab::cache::Recipe;
use crate::lab::go;
use crate::process::{self, When};

/// The command that builds them.
pub(crate) const COMMAND: &str = "cargo xtask lab peers";

/// One of them.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its name, and its program's.
    name: &'static str,
    /// What it is, for a person.
    about: &'static str,
    /// Names the program to the tests.
    pub(crate) variable: &'static str,
    source: Source,
}

/// What it is built of.
#[derive(Debug)]
enum Source {
    /// Prometheus' own module and its sum, and what its program says of itself.
    Prometheus { module: &'static str, sum: &'static str, version: &'static str },
    /// The Collector's builder, and its manifest.
    Collector { builder: &'static str, manifest: &'static str },
}

/// All of them.
pub(crate) const ALL: &[Peer] = &[
    Peer {
        name: "prometheus2",
        about: "Prometheus 2.53 with its receiver of OTLP",
        variable: "CONTAINER_EXPORTER_PEER_PROMETHEUS2",
        source: Source::Prometheus {
            module: "github.com/prometheus/prometheus@v0.53.3",
            sum: "h1:psmE5n7QoBSMt1wSZ5IL7jyTkanb/N29Twoxmhzuxqc=",
            version: "2.53.3",
        },
    },
    Peer {
        name: "prometheus3",
        about: "Prometheus 3.5 with its receiver of OTLP",
        variable: "CONTAINER_EXPORTER_PEER_PROMETHEUS3",
        source: Source::Prometheus {
            module: "github.com/prometheus/prometheus@v0.305.1",
            sum: "h1:RUn3HzNn/cLuViExfg+oCs9GhcqKYxaLUH/Uh/lEAYs=",
            version: "3.5.1",
        },
    },
    Peer {
        name: "otelcol",
        about: "an OpenTelemetry Collector 0.150 that tells what it takes",
        variable: "CONTAINER_EXPORTER_PEER_OTELCOL",
        source: Source::Collector {
            builder: "go.opentelemetry.io/collector/cmd/builder@v0.150.0",
            manifest: include_str!("otelcol.yaml"),
        },
    },
];

/// Where the sources are while a program is built: nothing of them stays.
const SOURCE: &str = "source";

/// Prometheus' list of the services that find its targets. The tests name theirs, and so the clients of all clouds need not be built.
const NO_DISCOVERY: &str = "package plugins\n";

impl Peer {
    fn recipe(&'static self) -> Recipe {
        let source = match &self.source {
            Source::Prometheus { module, sum, version } => {
                format!("{module} {sum} as {version}, plugins:\n{NO_DISCOVERY}")
            }
            Source::Collector { builder, manifest } => format!("{builder}\n{manifest}"),
        };
        let text = format!("go build for {}\n{source}", std::env::consts::ARCH);
        Recipe { name: self.name, text, parts: std::slice::from_ref(&self.name) }
    }

    /// For a person: what it is, and whether it is built.
    pub(crate) fn describe(&'static self) -> String {
        format!("{:<8} {}\n         {}", self.name, self.about, self.recipe().state(COMMAND))
    }

    fn program(&self, directory: &Path) -> PathBuf {
        directory.join(self.name)
    }

    /// Its program, built if it is not there.
    fn ensure(&'static self) -> Result<PathBuf> {
        let directory = self.recipe().ensure(|directory| {
            // Stdout is for the variables.
            eprintln!("building {}", self.about);
            match &self.source {
                Source::Prometheus { module, sum, version } => {
                    self.build_prometheus(module, sum, version, directory)
                }
                Source::Collector { builder, manifest } => self.build_collector(builder, manifest, directory),
            }
        })?;
        Ok(self.program(&directory))
    }

    fn build_prometheus(&self, module: &str, sum: &str, version: &str, directory: &Path) -> Result<()> {
        let source = directory.join(SOURCE);
        go::copy_module(module, sum, &source)?;
        write(&source.join("plugins/plugins.go"), NO_DISCOVERY)?;
        let flags = format!("-s -w -X github.com/prometheus/common/version.Version={version}");
        let mut build = go::command(&["build", "-trimpath", "-ldflags", &flags, "-o"]);
        build.arg(self.program(directory)).arg("./cmd/prometheus").current_dir(&source);
        process::succeed(build.env("CGO_ENABLED", "0"), When::Working)?;
        remove(&source)
    }

    fn build_collector(&self, builder: &str, manifest: &str, directory: &Path) -> Result<()> {
        let mut install = go::command(&["install", "-trimpath", builder]);
        process::succeed(install.env("GOBIN", directory).env("CGO_ENABLED", "0"), When::Working)?;
        let file = directory.join("manifest.yaml");
        write(&file, manifest)?;
        // Its output is where the manifest says, seen from here.
        let mut build =
            process::command(directory.join("builder"), &["--ldflags=-s -w", "--config", "manifest.yaml"]);
        go::with_environment(build.current_dir(directory).env("CGO_ENABLED", "0"));
        process::succeed(&mut build, When::Working)?;
        let source = directory.join(SOURCE);
        let program = self.program(directory);
        fs::rename(self.program(&source), &program)
            .context(|| format!("failed to take {}", program.display()))?;
        fs::remove_file(directory.join("builder")).context(|| "failed to remove the builder".to_owned())?;
        remove(&source)
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).context(|| format!("failed to write {}", file.display()))
}

fn remove(directory: &Path) -> Result<()> {
    fs::remove_dir_all(directory).context(|| format!("failed to remove {}", directory.display()))
}

/// The variables of the tests and the programs that they name.
pub(crate) type Variables = Vec<(&'static str, PathBuf)>;

/// Every program, built if it is not there: five minutes of one core, and the download of the modules.
pub(crate) fn ensure() -> Result<Variables> {
    ALL.iter().map(|peer| Ok((peer.variable, peer.ensure()?))).collect()
}

/// Those that are there, if all are.
pub(crate) fn find() -> Option<Variables> {
    ALL.iter().map(|peer| Some((peer.variable, peer.program(&peer.recipe().find()?)))).collect()
}

/// Installs what is missing, if it may; the inner error is why they cannot be had here, and what to do.
pub(crate) fn prepare(install: bool) -> Result<std::result::Result<String, String>> {
    install::ensure_kit(Kit::Peers, install)
}

/// Builds them and says how the tests are told, as a shell reads it.
pub(crate) fn run(install: bool) -> Result<()> {
    prepare(install)?.map_err(Error::Failed)?;
    for (variable, program) in ensure()? {
        println!("export {variable}={}", program.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_floats() {
        for peer in ALL {
            let text = peer.recipe().text;
            match &peer.source {
                Source::Prometheus { module, sum, version } => {
                    assert!(module.contains("@v") && sum.starts_with("h1:"), "{text}");
                    // Its modules count so: 0.305.1 is 3.5.1.
                    let numbers: Vec<u32> =
                        version.split('.').map(|part| part.parse().expect("a number")).collect();
                    let minor = if numbers[0] < 3 { numbers[1] } else { numbers[0] * 100 + numbers[1] };
                    assert!(
                        module.ends_with(&format!("@v0.{minor}.{}", numbers[2])),
                        "{module} is not {version}"
                    );
                }
                Source::Collector { builder, manifest } => {
                    let modules: Vec<&str> =
                        manifest.lines().filter(|line| line.contains("gomod:")).collect();
                    assert!(builder.contains("@v") && modules.len() > 2, "{text}");
                    assert!(modules.iter().all(|line| line.contains(" v")), "{modules:?}");
                    assert!(manifest.contains(&format!("output_path: ./{SOURCE}")), "{manifest}");
                    assert!(manifest.contains(&format!("name: {}", peer.name)), "{manifest}");
                }
            }
        }
    }

    #[test]
    fn the_tests_ask_for_these_variables() {
        let asked = include_str!("../../../crates/test-support/src/peers.rs");
        for peer in ALL {
            assert!(asked.contains(&format!("{:?}", peer.variable)), "{} is read by no test", peer.variable);
        }
        assert!(asked.contains(&format!("`{COMMAND}`")), "what is missing is not told");
    }
}
