//! Who this process is, as attributes: of its OTLP Resource, in metrics and in traces alike.

use std::path::Path;

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::Resource;
use sink_otlp::AttributeValue;

/// The schema that the names are of.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
/// Where a host has its id, as the semantic conventions say for Linux.
const MACHINE_IDS: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// What the process finds out by itself, by the names of the semantic conventions.
fn detected() -> Vec<(&'static str, Value)> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // As the conventions spell them.
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut found = vec![
        // One exporter a host: after a restart it is the same, and its counters go on.
        ("service.instance.id", Value::from(host.clone())),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
        ("host.name", host.into()),
        ("host.arch", architecture.into()),
        ("os.type", std::env::consts::OS.into()),
        ("process.pid", i64::from(std::process::id()).into()),
        ("process.executable.name", env!("CARGO_BIN_NAME").into()),
        ("process.runtime.name", "rust".into()),
    ];
    found.extend(host_id(&MACHINE_IDS.map(Path::new)).map(|id| ("host.id", id.into())));
    found
}

/// The first id that there is; a host that has none yet has an empty file or the word `uninitialized`.
fn host_id(paths: &[&Path]) -> Option<String> {
    let ids = paths.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let mut ids = ids.map(|id| id.trim().to_owned());
    ids.find(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What was set, and then what was found; of a key that comes twice the first counts.
fn merged(set: &[(String, String)]) -> Vec<(String, Value)> {
    let set = set.iter().map(|(key, value)| (key.clone(), Value::from(value.clone())));
    let mut merged: Vec<(String, Value)> = Vec::new();
    for (key, value) in set.chain(detected().into_iter().map(|(key, value)| (key.to_owned(), value))) {
        if !merged.iter().any(|(known, _)| *known == key) {
            merged.push((key, value));
        }
    }
    merged
}

/// The same for the SDK.
pub(super) fn of_sdk(set: &[(String, String)]) -> Resource {
    let attributes = merged(set).into_iter().map(|(key, value)| KeyValue::new(key, value));
    Resource::builder_empty().with_schema_url(attributes, SCHEMA_URL).build()
}

/// The same for the sink.
pub(super) fn of_sink(set: &[(String, String)]) -> Vec<(String, AttributeValue)> {
    let of_sink = |(key, value)| match value {
        Value::I64(number) => (key, AttributeValue::from(number)),
        text => (key, AttributeValue::from(text.to_string())),
    };
    merged(set).into_iter().map(of_sink).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_comes_before_what_was_found() {
        let set = [("host.name", "here"), ("team", "core"), ("host.name", "there")];
        let merged = merged(&set.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let of = |key: &str| -> Vec<String> {
            merged.iter().filter(|(known, _)| known == key).map(|(_, value)| value.to_string()).collect()
        };
        assert_eq!(of("host.name"), ["here"]);
        assert_eq!(of("team"), ["core"]);
        assert_eq!(of("process.pid"), [std::process::id().to_string()]);
        assert_eq!(of("os.type"), ["linux"]);
        assert_eq!(of("service.version"), [env!("CARGO_PKG_VERSION")]);
    }

    #[test]
    fn an_id_that_is_none_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        let found = || host_id(&paths.each_ref().map(|path| path.as_path()));
        assert_eq!(found(), None);
        std::fs::write(&paths[0], "uninitialized\n").expect("written");
        assert_eq!(found(), None);
        let id = "0123456789abcdef0123456789abcdef";
        std::fs::write(&paths[1], format!("{id}\n")).expect("written");
        assert_eq!(found().as_deref(), Some(id));
    }
}
