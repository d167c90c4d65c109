//! A snapshot as JSON, a piece at a time.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use collector_core::{
    ContainerSample, Health, Snapshot, Value,
    catalogue::{self, Entity, Source},
};
use serde_json::{Map, Value as Json, json};

/// Pieces are handed out when they have grown to this size.
const CHUNK_BYTES: usize = 64 << 10;

/// The whole document, made while it is read: nothing but the piece at hand is held.
pub(super) fn chunks(snapshot: Arc<Snapshot>) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
    let mut next = 0;
    let mut begun = false;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut piece = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        if !begun {
            begun = true;
            let head = format!("{{\"taken_at\":{},\"containers\":[", unix(Some(snapshot.taken_at)));
            piece.extend_from_slice(head.as_bytes());
        }
        while piece.len() < CHUNK_BYTES {
            let Some(one) = snapshot.containers.get(next) else {
                ended = true;
                piece.extend_from_slice(b"\n]}\n");
                break;
            };
            piece.extend_from_slice(if next > 0 { b",\n" } else { b"\n" });
            next += 1;
            piece.extend_from_slice(container(one).to_string().as_bytes());
        }
        Some(piece)
    })
}

fn unix(time: Option<SystemTime>) -> Json {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(Json::Null, |since| json!(since.as_secs_f64()))
}

fn number(value: Value) -> Json {
    match value {
        Value::Int(value) => json!(value),
        other => json!(other.as_f64()),
    }
}

/// One container: who it is, and every metric that is known of it, under the names of the native profile.
fn container(one: &ContainerSample) -> Json {
    let container = &one.container;
    let health = container.health.map(|health| match health {
        Health::NoCheck => "none",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    });
    json!({
        "id": container.id.as_str(),
        "name": container.name.as_deref(),
        "image": container.image.as_deref(),
        "engine": container.engine.as_str(),
        "state": container.state.as_str(),
        "health": health,
        "exit_code": container.exit_code,
        "restart_count": container.restart_count,
        "created_at": unix(container.created_at),
        "started_at": unix(container.started_at),
        "finished_at": unix(container.finished_at),
        "labels": container.labels,
        "metrics": metrics(one),
    })
}

fn metrics(one: &ContainerSample) -> Map<String, Json> {
    let catalogue = catalogue::get();
    let mut metrics = Map::new();
    let rows = catalogue
        .iter()
        .filter(|(_, row)| row.entity == Entity::Container && !row.hidden && row.def.only_aliased.is_none());
    for (id, row) in rows {
        // States and descriptions stand in the fields above.
        if matches!(row.source, Source::StateSet(_) | Source::Info(_)) {
            continue;
        }
        let name = row.def.prometheus_name();
        if let Some((dimension, column)) = catalogue.column(id) {
            let entries = &one.sample.table(dimension).entries;
            let series = entries.iter().filter_map(|entry| {
                let value = entry.cells[column].value()?;
                let mut series = Map::new();
                for (label, text) in dimension.labels().iter().zip(&*entry.labels) {
                    if row.def.attributes.iter().any(|attribute| attribute.name == *label) {
                        series.insert((*label).to_owned(), json!(&**text));
                    }
                }
                series.insert("value".to_owned(), number(value));
                Some(Json::Object(series))
            });
            let series: Vec<Json> = series.collect();
            if !series.is_empty() {
                metrics.insert(name, Json::Array(series));
            }
        } else if let Some(value) = one.sample.get(id).value() {
            if row.def.labels.is_empty() {
                metrics.insert(name, number(value));
            } else {
                let mut series: Map<String, Json> =
                    row.def.labels.iter().map(|(label, text)| ((*label).to_owned(), json!(text))).collect();
                series.insert("value".to_owned(), number(value));
                let family = metrics.entry(name).or_insert_with(|| Json::Array(Vec::new()));
                if let Json::Array(family) = family {
                    family.push(Json::Object(series));
                }
            }
        }
    }
    metrics
}
