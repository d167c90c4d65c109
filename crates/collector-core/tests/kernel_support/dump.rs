//! A snapshot as text, straight from the catalogue: what the golden files hold.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use collector_core::{
    Reading, Sample, Snapshot,
    catalogue::{self, Dimension, Entity, Row, RowId, Source, ids},
};

use super::disk;

/// Rows that depend on the time of the test.
const TIMED: [RowId; 2] = [ids::LAST_SEEN, ids::CPU_USAGE_PERCENT];

/// The name under which a row is shown first; that of OTLP where no page has it.
pub(crate) fn name(row: &Row) -> String {
    match (row.def.only_aliased, row.def.aliases.first(), row.def.otel_metric()) {
        (Some(_), Some(alias), _) => alias.name.to_owned(),
        (Some(_), None, Ok(metric)) => metric.name.to_owned(),
        _ => row.def.prometheus_name(),
    }
}

/// `name{labels} value`, a line for each number, by container in the order of the catalogue.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for container in &snapshot.containers {
        entity(&mut text, Entity::Container, container.container.display_name(), &container.sample);
    }
    if let Some(root) = &snapshot.root {
        entity(&mut text, Entity::Container, "/", root);
    }
    entity(&mut text, Entity::Host, "", &snapshot.host);
    let (_, column) = catalogue::get().column(ids::METRIC_ABSENT).expect("a column");
    let entries = &snapshot.exporter.table(Dimension::Absent).entries;
    let reasons: BTreeMap<(&str, &str), u64> = entries
        .iter()
        .filter_map(|entry| Some(((&*entry.labels[0], &*entry.labels[1]), entry.cells[column].as_u64()?)))
        .collect();
    for ((group, reason), count) in reasons {
        let _ =
            writeln!(text, "container_exporter_metric_absent{{group={group:?},reason={reason:?}}} {count}");
    }
    text
}

fn entity(text: &mut String, entity: Entity, container: &str, sample: &Sample) {
    for (id, row) in catalogue::get().iter() {
        if row.entity != entity
            || row.hidden
            || TIMED.contains(&id)
            || matches!(row.source, Source::Engine(_))
        {
            continue;
        }
        let mut labels: Vec<(&str, String)> = Vec::new();
        if !container.is_empty() {
            labels.push(("container", container.to_owned()));
        }
        labels.extend(row.def.labels.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let Some((dimension, column)) = catalogue::get().column(id) else {
            line(text, row, &labels, sample.get(id), None);
            continue;
        };
        for entry in &sample.table(dimension).entries {
            let values = own_disk(container, &entry.labels);
            let shown = dimension.labels().iter().copied().zip(values);
            let shown = shown.filter(|(name, _)| row.def.attributes.iter().any(|shown| shown.name == *name));
            let all = labels.iter().cloned().chain(shown);
            line(text, row, &all.collect::<Vec<_>>(), entry.cells[column], Some(dimension));
        }
    }
}

/// The labels of an entry, with words for the numbers of the disk that the test runs on.
fn own_disk(container: &str, labels: &[Arc<str>]) -> Vec<String> {
    let (major, minor) = disk();
    let (major, minor) = (major.to_string(), minor.to_string());
    match labels {
        // The root's disks are those of the tree's own `diskstats`.
        [device, a, b] if container != "/" && **a == *major && **b == *minor => {
            vec![device.to_string(), "MAJOR".to_owned(), "MINOR".to_owned()]
        }
        [device] if **device == *format!("{major}:{minor}") => vec!["MAJOR:MINOR".to_owned()],
        labels => labels.iter().map(ToString::to_string).collect(),
    }
}

fn line(
    text: &mut String,
    row: &Row,
    labels: &[(&str, String)],
    reading: Reading,
    dimension: Option<Dimension>,
) {
    let Some(value) = reading.value() else { return };
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    // The file system under the tree is the test machine's, and time passes.
    let is_any = dimension == Some(Dimension::Filesystem) || row.def.name == "container.fs.usage_age";
    let value = if is_any { "*".to_owned() } else { value.as_f64().to_string() };
    let _ = writeln!(text, "{}{labels} {value}", name(row));
}
