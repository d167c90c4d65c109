//! The floors of `docs/architecture.md`: who may import whom.
//!
//! [`FLOORS`] is the plan; `cargo metadata` is the fact; each difference is one sentence. Normal and build dependencies
//! count; tests may import what they like.

use crate::error::{Error, Result};
use crate::metadata::{self, Metadata, Package};

/// What a crate is, which decides what it may import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A library on this floor: imports lower floors.
    Library(u8),
    /// Says who the containers are; on floor 3, never imports another source or a sink.
    Source,
    /// Says where the numbers go; on floor 3, never imports another sink or a source.
    Sink,
    /// Joins everything.
    Binary,
    /// For tests: stands under `[dev-dependencies]` only.
    TestOnly,
    /// The project's own tool: imports what it measures or generates; nothing imports it.
    Tool,
}

impl Role {
    fn floor(self) -> u8 {
        match self {
            Self::Library(floor) => floor,
            Self::Source | Self::Sink => 3,
            Self::Binary | Self::TestOnly | Self::Tool => 4,
        }
    }
}

/// Every crate of the workspace, lowest floor first.
const FLOORS: &[(&str, Role)] = &[
    ("metric-schema", Role::Library(0)),
    ("exposition", Role::Library(0)),
    ("cgroup-reader", Role::Library(1)),
    ("runtime-metrics", Role::Library(1)),
    ("mixin", Role::Library(1)),
    ("collector-core", Role::Library(2)),
    ("exporter-toolkit", Role::Library(2)),
    ("otlp-client", Role::Library(2)),
    ("gpu-reader", Role::Library(3)),
    ("source-docker", Role::Source),
    ("source-cgroup", Role::Source),
    ("source-sim", Role::Source),
    ("sink-otlp", Role::Sink),
    ("sink-prometheus", Role::Sink),
    ("container-mixin", Role::Library(3)),
    ("container-exporter", Role::Binary),
    ("examples", Role::Binary),
    ("otlp-service", Role::Binary),
    ("fuzz-targets", Role::TestOnly),
    ("test-support", Role::TestOnly),
    ("xtask", Role::Tool),
];

/// A family of foreign packages that few of our libraries may import.
struct Fence {
    /// The package, or how its name begins.
    package: &'static str,
    /// Are packages meant that only begin so?
    prefix: bool,
    /// The libraries that may.
    allowed: &'static [&'static str],
    /// Do the binaries have to keep out, too?
    binaries: bool,
    /// Why.
    reason: &'static str,
}

const FENCES: &[Fence] = &[
    Fence {
        package: "bollard",
        prefix: true,
        allowed: &["source-docker"],
        binaries: true,
        reason: "one crate knows the engine's API and its traps",
    },
    Fence {
        package: "nvml-wrapper",
        prefix: true,
        allowed: &["gpu-reader"],
        binaries: true,
        reason: "one crate knows the driver's library and its traps",
    },
    Fence {
        package: "opentelemetry",
        prefix: true,
        allowed: &["sink-otlp", "runtime-metrics"],
        binaries: false,
        reason: "its releases break every few months, and a library's users should not feel it",
    },
    Fence {
        package: "prometheus",
        prefix: false,
        allowed: &["exposition", "exporter-toolkit", "runtime-metrics"],
        binaries: false,
        reason: "the registry holds the process's own metrics only; container series are written from the catalogue",
    },
];

/// Reads the workspace and checks it; the error lists every breach.
pub(crate) fn run() -> Result<String> {
    let metadata = metadata::read()?;
    let breaches = breaches(&metadata);
    if breaches.is_empty() {
        return Ok(format!("{} crates import lower floors only", metadata.packages.len()));
    }
    Err(Error::failed(format!("the layers are broken:\n  {}", breaches.join("\n  "))))
}

fn role(name: &str) -> Option<Role> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, role)| *role)
}

fn breaches(metadata: &Metadata) -> Vec<String> {
    let mut breaches = Vec::new();
    for package in &metadata.packages {
        match role(&package.name) {
            Some(role) => check_package(package, role, metadata, &mut breaches),
            None => breaches.push(format!(
                "{}: unknown crate; give it a floor in FLOORS of xtask/src/layers.rs and a line in docs/architecture.md",
                package.name
            )),
        }
    }
    for (name, _) in FLOORS {
        if !metadata.packages.iter().any(|package| package.name == *name) {
            breaches.push(format!(
                "{name}: no such crate any more; take it out of FLOORS in xtask/src/layers.rs"
            ));
        }
    }
    breaches
}

fn check_package(package: &Package, role: Role, metadata: &Metadata, breaches: &mut Vec<String>) {
    let name = &package.name;
    for import in package.dependencies.iter().filter(|import| import.kind.as_deref() != Some("dev")) {
        let ours = metadata.packages.iter().any(|candidate| candidate.name == import.name);
        let reason = if ours {
            // An unknown crate of ours has its own breach already.
            self::role(&import.name).and_then(|imported| refusal(role, imported))
        } else {
            FENCES.iter().find(|fence| fence.keeps_out(name, role, &import.name)).map(|fence| fence.reason)
        };
        if let Some(reason) = reason {
            breaches.push(format!("{name} imports {}: {reason}", import.name));
        }
    }
}

/// Why a crate in this role may not import that one; `None` if it may.
fn refusal(importer: Role, imported: Role) -> Option<&'static str> {
    match (importer, imported) {
        (_, Role::TestOnly) => Some("it is for tests; move it to [dev-dependencies]"),
        (_, Role::Tool) => Some("nothing imports the project's own tool"),
        (Role::Tool, _) => None,
        (Role::Source, Role::Source) => Some("a source never imports another source"),
        (Role::Sink, Role::Sink) => Some("a sink never imports another sink"),
        (Role::Sink, Role::Source) => Some("a sink reads snapshots and never imports a source"),
        (Role::Source, Role::Sink) => Some("a source knows no sink"),
        _ if imported.floor() >= importer.floor() => Some("a crate imports lower floors only"),
        _ => None,
    }
}

impl Fence {
    fn keeps_out(&self, importer: &str, role: Role, imported: &str) -> bool {
        let meant = if self.prefix { imported.starts_with(self.package) } else { imported == self.package };
        let free = match role {
            Role::Binary => !self.binaries,
            Role::TestOnly | Role::Tool => true,
            Role::Library(_) | Role::Source | Role::Sink => false,
        };
        meant && !free && !self.allowed.contains(&importer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    /// The whole workspace without any import, and these added.
    fn graph(imports: &[(&str, &str, Option<&str>)]) -> Metadata {
        let mut packages: Vec<Package> = FLOORS.iter().map(|(name, _)| package(name)).collect();
        for (importer, imported, kind) in imports {
            let dependency = Dependency { name: (*imported).to_owned(), kind: kind.map(str::to_owned) };
            match packages.iter_mut().find(|package| package.name == *importer) {
                Some(package) => package.dependencies.push(dependency),
                None => packages.push(Package { dependencies: vec![dependency], ..package(importer) }),
            }
        }
        Metadata { packages, target_directory: "target".into() }
    }

    fn package(name: &str) -> Package {
        Package { name: name.to_owned(), dependencies: Vec::new(), targets: Vec::new() }
    }

    #[track_caller]
    fn check(importer: &str, imported: &str, kind: Option<&str>, expect: Option<&str>) {
        let found = breaches(&graph(&[(importer, imported, kind)]));
        match expect {
            Some(words) => {
                assert_eq!(found.len(), 1, "{importer} → {imported}: {found:?}");
                assert!(found[0].contains(words), "{found:?}");
            }
            None => assert!(found.is_empty(), "{importer} → {imported}: {found:?}"),
        }
    }

    #[test]
    fn a_broken_graph_is_refused_with_its_reason() {
        check("metric-schema", "collector-core", None, Some("lower floors"));
        check("metric-schema", "exposition", None, Some("lower floors"));
        check("collector-core", "source-docker", Some("build"), Some("lower floors"));
        check("source-cgroup", "source-docker", None, Some("another source"));
        check("sink-prometheus", "source-docker", None, Some("never imports a source"));
        check("source-docker", "sink-prometheus", None, Some("knows no sink"));
        check("collector-core", "test-support", None, Some("[dev-dependencies]"));
        check("container-exporter", "xtask", None, Some("own tool"));
        check("collector-core", "bollard", None, Some("engine's API"));
        check("container-exporter", "bollard-stubs", None, Some("engine's API"));
        check("collector-core", "opentelemetry_sdk", None, Some("opentelemetry_sdk: its releases"));
        check("sink-prometheus", "prometheus", None, Some("registry"));
    }

    #[test]
    fn a_good_graph_is_accepted() {
        check("collector-core", "cgroup-reader", None, None);
        check("source-docker", "bollard", None, None);
        check("runtime-metrics", "opentelemetry", None, None);
        check("container-exporter", "opentelemetry_sdk", None, None);
        check("container-exporter", "prometheus", None, None);
        check("exposition", "prometheus", None, None);
        check("sink-prometheus", "prometheus-parse", None, None);
        check("sink-prometheus", "prometheus", Some("dev"), None);
        check("source-docker", "test-support", Some("dev"), None);
        check("xtask", "sink-prometheus", None, None);
    }

    #[test]
    fn a_new_crate_is_told_what_to_do() {
        check("source-new", "serde", None, Some("give it a floor in FLOORS of xtask/src/layers.rs"));
    }

    #[test]
    fn a_row_without_a_crate_is_stale() {
        let mut graph = graph(&[]);
        graph.packages.retain(|package| package.name != "source-sim");
        let found = breaches(&graph);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("source-sim: no such crate"), "{found:?}");
    }

    #[test]
    fn this_workspace_keeps_its_layers() {
        let metadata = metadata::read().expect("cargo metadata");
        assert!(metadata.has("xtask"));
        assert_eq!(breaches(&metadata), Vec::<String>::new());
    }
}
