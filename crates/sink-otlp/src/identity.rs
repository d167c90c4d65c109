//! Who a container is, as attributes: of its Resource, and of its points where those carry it.

use std::collections::HashMap;

use collector_core::{
    Container, Engine, Snapshot,
    catalogue::{self, Dimension, ids},
    labels::MAX_KEY_BYTES,
};

use crate::{AttributeValue, Names, Options, batch::field, wire};

/// The longest value of an attribute that is no label: more than any path, name or image reference has.
pub(crate) const VALUE_BYTES_MAX: usize = 4096;

/// Labels that Kubernetes' runtimes put on containers, and the attributes that mean the same.
const KUBERNETES: [(&str, &str); 4] = [
    ("io.kubernetes.pod.namespace", "k8s.namespace.name"),
    ("io.kubernetes.pod.name", "k8s.pod.name"),
    ("io.kubernetes.pod.uid", "k8s.pod.uid"),
    ("io.kubernetes.container.name", "k8s.container.name"),
];

/// The engines' versions, as they were last told: an engine that is down for a while does not change who its containers
/// are.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    by_engine: HashMap<String, String>,
    /// Rises when one changes.
    pub(crate) generation: u64,
}

impl Versions {
    pub(crate) fn learn(&mut self, snapshot: &Snapshot) {
        let entries = &snapshot.exporter.table(Dimension::EngineInfo).entries;
        let labels = Dimension::EngineInfo.labels();
        let place = |name| labels.iter().position(|label| *label == name);
        let (Some(engine), Some(version)) = (place("engine"), place("version")) else { return };
        let Some((_, column)) = catalogue::get().column(ids::ENGINE_INFO) else { return };
        let mut told: HashMap<&str, Option<&str>> = HashMap::new();
        for entry in
            entries.iter().filter(|entry| entry.cells.get(column).is_some_and(|cell| cell.value().is_some()))
        {
            let (Some(engine), Some(version)) = (entry.labels.get(engine), entry.labels.get(version)) else {
                continue;
            };
            // Two engines of a kind: whose container it is, its description does not say.
            let known = told.entry(engine).or_insert(Some(version));
            if *known != Some(&**version) {
                *known = None;
            }
        }
        for (engine, version) in told {
            let version = version.unwrap_or_default();
            if self.by_engine.get(engine).is_none_or(|known| known != version) {
                self.by_engine.insert(engine.to_owned(), version.to_owned());
                self.generation += 1;
            }
        }
    }

    fn of(&self, engine: Engine) -> Option<&str> {
        self.by_engine.get(engine.as_str()).map(String::as_str)
    }
}

/// An image reference in its parts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Image<'a> {
    name: Option<&'a str>,
    tag: Option<&'a str>,
    /// Whether it names a digest.
    is_digest: bool,
}

impl<'a> Image<'a> {
    fn parse(reference: &'a str) -> Self {
        if reference.starts_with("sha256:") {
            return Self::default();
        }
        let (rest, is_digest) = match reference.split_once('@') {
            Some((rest, _)) => (rest, true),
            None => (reference, false),
        };
        // A colon before the last slash is that of a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        Self { name: Some(name), tag, is_digest }
    }
}

/// Attributes as they are gathered: a key once, no empty value.
struct Attributes<'a> {
    out: Vec<u8>,
    field: u64,
    taken: Vec<&'a str>,
}

impl<'a> Attributes<'a> {
    fn new(field: u64) -> Self {
        Self { out: Vec::new(), field, taken: Vec::new() }
    }

    fn text(&mut self, key: &'a str, value: Option<&str>) {
        let value = cut(value.unwrap_or_default(), VALUE_BYTES_MAX);
        if !value.is_empty() && !self.taken.contains(&key) {
            self.taken.push(key);
            wire::attribute(&mut self.out, self.field, key, value);
        }
    }

    fn value(&mut self, key: &'a str, value: &AttributeValue) {
        match value {
            AttributeValue::Text(text) => self.text(key, Some(text)),
            AttributeValue::Int(number) if !self.taken.contains(&key) => {
                self.taken.push(key);
                wire::attribute_int(&mut self.out, self.field, key, *number);
            }
            AttributeValue::Int(_) => {}
        }
    }

    fn list(&mut self, key: &'a str, value: Option<&str>) {
        let value = cut(value.unwrap_or_default(), VALUE_BYTES_MAX);
        if !value.is_empty() {
            self.taken.push(key);
            wire::attribute_list(&mut self.out, self.field, key, &[value]);
        }
    }
}

/// The attributes of a container's Resource, encoded, and how many of its labels are left out or cut.
pub(crate) fn resource(container: &Container, versions: &Versions, options: &Options) -> (Box<[u8]>, u64) {
    let mut attributes = Attributes::new(field::RESOURCE_ATTRIBUTES);
    let image = container.image.as_deref().map(Image::parse).unwrap_or_default();
    let engine = (container.engine != Engine::Kernel).then(|| container.engine.as_str());
    let uid = container.uid.map(|uid| uid.to_string());
    attributes.text("container.id", Some(container.id.as_str()));
    attributes.text("container.name", container.name.as_deref());
    attributes.text("container.image.name", image.name);
    attributes.list("container.image.tags", image.tag);
    attributes.list("container.image.repo_digests", container.image.as_deref().filter(|_| image.is_digest));
    attributes.text("container.image.id", container.image_id.as_deref());
    attributes.text("container.runtime.name", engine);
    attributes.text("container.runtime.version", engine.and_then(|_| versions.of(container.engine)));
    for (label, key) in KUBERNETES {
        attributes.text(key, container.labels.get(label).map(String::as_str));
    }
    // The conventions have no name for these.
    attributes.text("container.oci_runtime.name", container.runtime.as_deref());
    attributes.text("container.pod.name", container.pod.as_deref());
    attributes.text("container.engine.uid", uid.as_deref());
    attributes.text("systemd.unit", container.unit.as_deref());
    attributes.text("systemd.slice", container.slice.as_deref());
    for (key, value) in &options.container_resource {
        attributes.value(key, value);
    }
    let dropped = labels(container, options, &mut attributes.out);
    (attributes.out.into(), dropped)
}

/// A container's labels as `container.label.<key>`, in the order of their keys, within the limits.
fn labels(container: &Container, options: &Options, out: &mut Vec<u8>) -> u64 {
    let (mut kept, mut dropped) = (0, 0);
    for (key, value) in &container.labels {
        if key.is_empty() || key.len() > MAX_KEY_BYTES || kept == options.labels_max {
            dropped += 1;
            continue;
        }
        kept += 1;
        let shown = cut(value, options.label_value_bytes_max);
        dropped += u64::from(shown.len() < value.len());
        wire::attribute(out, field::RESOURCE_ATTRIBUTES, &format!("container.label.{key}"), shown);
    }
    dropped
}

/// The attributes of a container's points, encoded, where those carry its identity.
pub(crate) fn of_points(container: &Container, names: Names) -> Box<[u8]> {
    let mut attributes = Attributes::new(field::ATTRIBUTES);
    let (name, image) = (container.name.as_deref(), container.image.as_deref());
    match names {
        Names::Semconv => {
            let image = image.map(Image::parse).unwrap_or_default();
            attributes.text("container.id", Some(container.id.as_str()));
            attributes.text("container.name", name);
            attributes.text("container.image.name", image.name);
            attributes.text("systemd.slice", container.slice.as_deref());
            attributes.text("systemd.unit", container.unit.as_deref());
        }
        Names::Prometheus => {
            attributes.text("container_id", Some(container.id.short()));
            attributes.text("container_name", name);
            attributes.text("image", image);
            attributes.text("slice", container.slice.as_deref());
            attributes.text("unit", container.unit.as_deref());
        }
    }
    attributes.out.into()
}

/// The attributes of the exporter's own Resource, encoded.
pub(crate) fn own(options: &Options) -> Box<[u8]> {
    let mut attributes = Attributes::new(field::RESOURCE_ATTRIBUTES);
    for (key, value) in &options.resource {
        attributes.value(key, value);
    }
    attributes.out.into()
}

/// The beginning of a text, whole characters of at most so many bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reference: &str, name: Option<&str>, tag: Option<&str>, is_digest: bool) {
        assert_eq!(Image::parse(reference), Image { name, tag, is_digest }, "{reference}");
    }

    #[test]
    fn image_references_are_taken_apart() {
        check("nginx", Some("nginx"), None, false);
        check("nginx:1.29", Some("nginx"), Some("1.29"), false);
        check("localhost:5000/team/web", Some("localhost:5000/team/web"), None, false);
        check("localhost:5000/team/web:2", Some("localhost:5000/team/web"), Some("2"), false);
        check("web@sha256:00ff", Some("web"), None, true);
        check("web:2@sha256:00ff", Some("web"), Some("2"), true);
        check("sha256:00ff", None, None, false);
        check("", Some(""), None, false);
    }
}
