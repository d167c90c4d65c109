//! What is measured: the binary as it is shipped, and the programs it is measured against, built alike.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::process;

/// The programs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) exporter: PathBuf,
    pub(crate) floor: PathBuf,
    pub(crate) collection: PathBuf,
    pub(crate) throughput: PathBuf,
    pub(crate) spans: PathBuf,
    pub(crate) own_spans: PathBuf,
    pub(crate) otlp_throughput: PathBuf,
}

/// Package, features and example.
const EXAMPLES: [(&str, &str, &str); 6] = [
    ("cgroup-reader", "", "bench_floor"),
    ("collector-core", "kernel", "bench_collection"),
    ("exposition", "registry", "throughput"),
    ("runtime-metrics", "spans", "bench_spans"),
    ("container-exporter", "", "bench_own_spans"),
    ("sink-otlp", "", "otlp_throughput"),
];

impl Programs {
    /// Builds what is not up to date: some minutes the first time, for everything is linked into one.
    pub(crate) fn build() -> Result<Self> {
        build(&["--package", "container-exporter"])?;
        for (package, features, example) in EXAMPLES {
            build(&["--package", package, "--features", features, "--example", example])?;
        }
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let target = target.join("dist");
        let example = |name: &str| target.join("examples").join(name);
        Ok(Self {
            exporter: target.join("container-exporter"),
            floor: example("bench_floor"),
            collection: example("bench_collection"),
            throughput: example("throughput"),
            spans: example("bench_spans"),
            own_spans: example("bench_own_spans"),
            otlp_throughput: example("otlp_throughput"),
        })
    }
}

fn build(what: &[&str]) -> Result<()> {
    let mut command = process::cargo(&["build", "--quiet", "--profile", "dist"]);
    command.args(what);
    let finished = process::show(&mut command)?;
    if finished.status.success() {
        return Ok(());
    }
    Err(Error::failed(format!("`{}` ended with {}", process::shown(&command), finished.status)))
}
