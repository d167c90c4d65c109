//! The configuration from its sources to the settings.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kind::Kind;
use super::parse::Source;
use super::parsed::{Compression, LogFormat, LogLevel, Profile};
use super::settings::Sockets;
use super::table::{KEYS, SECTIONS};
use super::*;
use collector_core::{Group, Groups};
use otlp_client::Protocol;

mod layers;
mod otlp;
mod traces;
mod values;

/// What a test configures from.
#[derive(Default)]
struct Case {
    inputs: Inputs,
    /// Keeps the file until it is read.
    file: Option<tempfile::NamedTempFile>,
}

impl Case {
    fn new() -> Self {
        Self::default()
    }

    fn file(mut self, text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        self.inputs.file = Some(file.path().to_owned());
        self.file = Some(file);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.inputs.env.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, flag: &'static str, value: &str) -> Self {
        self.inputs.flags.push(FlagValue { flag, value: value.to_owned() });
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        load(&self.inputs)
    }

    #[track_caller]
    fn settings(&self) -> Settings {
        self.loaded().settings
    }

    #[track_caller]
    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The lines of the error, the file named CONFIG.
    #[track_caller]
    fn errors(&self) -> String {
        let Err(error) = self.load() else { panic!("this was accepted") };
        let text = error.to_string();
        match &self.inputs.file {
            Some(path) => text.replace(&path.display().to_string(), "CONFIG"),
            None => text,
        }
    }
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name);
    std::fs::read_to_string(path).expect("a fixture")
}

/// The value and origin of a key as `config show` has them.
fn shown(loaded: &Loaded, path: &str) -> (String, String) {
    let effective = loaded.effective.iter().find(|value| value.key.path == path).expect("a known key");
    (effective.value.as_ref().map_or_else(String::new, ToString::to_string), effective.origin.to_string())
}

#[test]
fn the_table_is_well_formed() {
    let mut paths: Vec<_> = KEYS.iter().map(|key| key.path).collect();
    let mut sections: Vec<_> = KEYS.iter().map(Key::section).collect();
    sections.dedup();
    assert_eq!(sections, SECTIONS.iter().map(|(section, _)| *section).collect::<Vec<_>>());
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), KEYS.len(), "a path stands twice");
    for key in KEYS {
        // Two underscores part section and name in variables.
        assert!(!key.path.contains("__") && key.path.matches('.').count() == 1, "{}", key.path);
        assert!(key.doc.ends_with('.'), "{}", key.path);
        assert!(reference_value(key).is_some(), "{}: its default or example is not of its kind", key.path);
        let value = reference_value(key).expect("just seen");
        assert_eq!(key.kind.read_text(&value.to_text()).ok(), Some(value), "{}: text form", key.path);
    }
}

#[test]
fn the_default_file_is_fresh_and_has_every_key() {
    assert!(
        DEFAULT_FILE == default_file(),
        "stale: cargo run -p container-exporter -- config default > bins/container-exporter/default-config.toml"
    );
    for key in KEYS {
        let line = format!("{} = {}", key.name(), key.example());
        assert!(DEFAULT_FILE.lines().any(|known| known.trim_start_matches("# ") == line), "{}", key.path);
    }
}

#[test]
fn the_documentation_has_every_key() {
    let text = markdown();
    for key in KEYS {
        assert!(text.contains(&format!("\n| `{}` | ", key.name())), "{}", key.path);
        let names = key.flag.iter().chain(key.otel);
        names.for_each(|name| assert!(text.contains(&format!("`{name}`")), "{name}"));
    }
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let widths = text.lines().filter(|line| line.starts_with("| `")).map(cells);
    assert!(widths.into_iter().all(|width| width == 5 || width == 4), "a cell breaks its table");
}

#[test]
fn the_default_file_gives_the_defaults() {
    let loaded = Case::new().file(DEFAULT_FILE).loaded();
    let without = Case::new().loaded();
    for (with, without) in loaded.effective.iter().zip(&without.effective) {
        let default = has_default(with.key).then(|| reference_value(with.key).expect("checked above"));
        assert_eq!((&with.value, &without.value), (&default, &default), "{}", with.key.path);
        assert_eq!(without.origin, Origin::Default);
    }
    let settings = without.settings;
    assert_eq!(settings.interval, Duration::from_secs(15));
    assert_eq!(settings.source, Source::Auto);
    assert_eq!(settings.server.listen, SocketAddr::from(([0, 0, 0, 0], 8080)));
    assert_eq!(settings.metrics.groups, Groups::standard());
    assert_eq!(settings.docker.sockets, Sockets::Auto);
    assert_eq!((settings.labels.max_per_container, settings.labels.max_value_bytes), (32, 256));
    assert!(settings.warnings.is_empty() && settings.otlp.is_none() && settings.traces.is_none());
}

/// docs/units.md shows the same file.
#[test]
fn the_example_of_units_is_whole() {
    let example = include_str!("../../../../deploy/systemd/units.toml");
    let settings = Case::new().file(example).settings();
    for (cgroup, is_shown) in [
        ("/system.slice/ssh.service", true),
        ("/user.slice/user-7.slice/session-1.scope", true),
        ("/system.slice/run.scope", false),
    ] {
        assert_eq!(settings.cgroup.include.matches(cgroup), is_shown, "{cgroup}");
    }
    let documented = include_str!("../../../../docs/units.md");
    let block = documented.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    assert!(block.is_some_and(|block| example.ends_with(block)), "docs/units.md has another example");
}

#[test]
fn container_monitorings_file_loads_unchanged() {
    let settings = Case::new().file(&fixture("s0.toml")).settings();
    assert_eq!(settings.interval, Duration::from_secs(15));
    assert_eq!(settings.server.listen, SocketAddr::from(([0, 0, 0, 0], 8080)));
    assert!(settings.server.listen_origin.to_string().ends_with(":9"), "by prometheus_port");
    assert_eq!(settings.docker.sockets, Sockets::Only(vec!["/var/run/docker.sock".into()]));
    assert_eq!(settings.metrics.groups, Groups::standard());
    assert_eq!(settings.logging.level, LogLevel::Info);
    assert!(settings.warnings.is_empty());
    let otlp = settings.otlp.expect("an endpoint is set");
    assert_eq!(otlp.client.endpoint.to_string(), "http://otel-collector:4317");
    assert_eq!((otlp.client.protocol, otlp.interval), (Protocol::Grpc, Duration::from_secs(15)));
    assert_eq!(otlp.resource, [("service.name".to_owned(), "container-monitoring".to_owned())]);
}

#[test]
fn each_key_of_container_monitoring_has_its_effect() {
    let with = |from: &str, to: &str| {
        let text = fixture("s0.toml");
        assert_eq!(text.matches(from).count(), 1, "{from}");
        Case::new().file(&text.replace(from, to)).settings()
    };
    assert_eq!(with("interval = 15", "interval = 7").interval, Duration::from_secs(7));
    assert_eq!(with("= 8080", "= 9191").server.listen.port(), 9191);
    let sockets = with("/var/run/docker.sock", "/tmp/d.sock").docker.sockets;
    assert_eq!(sockets, Sockets::Only(vec![PathBuf::from("/tmp/d.sock")]));
    assert_eq!(with("\"info\"", "\"debug\"").logging.level, LogLevel::Debug);
    for (switch, groups) in [
        ("enable_cpu", &[Group::Cpu, Group::CpuDetail][..]),
        ("enable_memory", &[Group::Memory, Group::MemoryDetail, Group::MemoryNuma, Group::HugePages]),
        ("enable_network", &[Group::Network, Group::NetworkDetail]),
        ("enable_disk", &[Group::Io, Group::IoDetail, Group::Filesystem]),
    ] {
        let left = with(&format!("{switch} = true"), &format!("{switch} = false")).metrics.groups;
        let expect = groups.iter().fold(Groups::standard(), |all, group| all.without(*group));
        assert_eq!(left, expect, "{switch}");
    }
}

#[test]
fn the_switches_take_from_the_groups_and_never_add() {
    let settings = Case::new()
        .file("[metrics]\ngroups = [\"io\", \"CPU\", \"cpu\"]\nenable_disk = false\nenable_memory = true\n")
        .settings();
    assert_eq!(settings.metrics.groups, Groups::NONE.with(Group::Cpu));
    let settings = Case::new().env("CONTAINER_EXPORTER__METRICS__GROUPS", "").settings();
    assert_eq!(settings.metrics.groups, Groups::NONE);
    assert!(settings.warnings[0].to_string().contains("every group is off"), "{:?}", settings.warnings);
}

#[test]
fn every_key_reaches_the_settings() {
    let settings = Case::new().file(&fixture("all.toml")).settings();
    assert_eq!(settings.interval, Duration::from_millis(1500));
    assert_eq!(settings.source, Source::Sim(25));
    assert!(!settings.docker.enabled && !settings.podman.enabled);
    assert_eq!(settings.docker.sockets, Sockets::Only(vec!["/a.sock".into(), "/b.sock".into()]));
    assert_eq!(settings.podman.sockets, Sockets::Only(vec!["/p.sock".into()]));
    assert_eq!(settings.warnings.len(), 2, "sockets of engines that are off: {:?}", settings.warnings);
    assert_eq!((settings.cgroup.root, settings.cgroup.proc_root), ("/host/cg".into(), "/host/proc".into()));
    let selection = settings.containers.selection;
    assert!(selection.admits("web-1", "x", []));
    assert!(!selection.admits("db", "x", []), "not included");
    assert!(!selection.admits("web-1", "x", [("team", "core")]), "excluded");
    assert_eq!((settings.containers.max, settings.containers.stopped_max), (50, 0));
    assert_eq!(settings.metrics.groups, Groups::NONE.with(Group::State));
    assert_eq!(settings.metrics.profile, Profile::Cadvisor);
    assert_eq!(settings.metrics.max_age, Duration::from_millis(250));
    assert_eq!(settings.metrics.timeout, Duration::from_millis(2500));
    assert_eq!(settings.metrics.filesystem_interval, Duration::from_secs(3600));
    assert_eq!(settings.metrics.series_per_group, 5000);
    assert_eq!(settings.labels.on_series, ["com.docker.compose.service"]);
    assert_eq!((settings.labels.max_per_container, settings.labels.max_value_bytes), (8, 64));
    assert_eq!((settings.limits.workers, settings.limits.fds), (3, Some(4096)));
    assert_eq!(settings.server.listen, SocketAddr::from(([127, 0, 0, 1], 9100)));
    assert_eq!((settings.server.max_connections, settings.server.max_scrapes), (20, 2));
    assert_eq!(settings.server.header_timeout, Duration::from_secs(1));
    assert_eq!(settings.server.header_bytes_max, 8192);
    assert_eq!(settings.server.write_timeout, Duration::from_secs(2));
    assert_eq!(settings.server.response_timeout, Duration::from_secs(3));
    assert_eq!(settings.server.keep_alive_timeout, Duration::from_secs(4));
    assert_eq!(settings.server.drain_timeout, Duration::ZERO);
    assert_eq!(settings.server.compression, Compression::Never);
    assert_eq!(settings.logging.level, LogLevel::Trace);
    assert_eq!(settings.logging.format, LogFormat::Json);
    assert_eq!(settings.otlp, None, "telemetry.otel_exporter is none");
}
