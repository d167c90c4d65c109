//! What the engine's events mean.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use collector_core::{ContainerId, Health};

use crate::{
    clock,
    json::{Faults, Object},
    read,
};

/// An event that concerns one container's life.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Whose.
    pub(crate) id: ContainerId,
    /// What happened.
    pub(crate) kind: Kind,
    /// When, by the engine's clock.
    pub(crate) at: Option<SystemTime>,
    /// Its name, as the event knows it.
    pub(crate) name: Option<Arc<str>>,
    /// Its image, as it was named at creation.
    pub(crate) image: Option<Arc<str>>,
    /// Its labels: the attributes that the engine did not add itself.
    pub(crate) labels: BTreeMap<String, String>,
}

/// What happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It was made.
    Created,
    /// Its init process runs.
    Started,
    /// Its init process ended with this code.
    Died(Option<i64>),
    /// It was frozen.
    Paused,
    /// It was thawed.
    Unpaused,
    /// Its health changed; `None` where the event does not say to what.
    Health(Option<Health>),
    /// It has a new name.
    Renamed,
    /// Its limits changed; the event does not say to what.
    Updated,
    /// It was restarted by hand. Docker has sent `die` and `start` before.
    Restarted,
    /// The kernel killed in it.
    Oom,
    /// It was removed.
    Removed,
}

/// What a document of the stream is.
#[derive(Debug, PartialEq)]
pub(crate) enum Reading {
    /// An event to act on.
    Event(Box<Event>),
    /// One that changes nothing here: of networks, images, pods, of execs, of kinds to come.
    Ignored,
    /// Not to be understood.
    Malformed,
}

/// Attributes that the engine adds to the labels.
const NOT_LABELS: &[&str] = &[
    "image",
    "name",
    "exitCode",
    "containerExitCode",
    "oldName",
    "signal",
    "execID",
    "execDuration",
    "comment",
    "podId",
    "health_status",
];

/// Reads one document of `GET /events`. API ≥ 1.52 has `Type`, `Action`, `Actor`; older ones repeat them as
/// `status`, `id` and `from`, which stand in where the others are missing.
pub(crate) fn read(document: &[u8]) -> Reading {
    let text = String::from_utf8_lossy(document);
    let faults = Faults::default();
    let Some(event) = Object::parse(&text) else { return Reading::Malformed };
    match event.word("Type", &faults) {
        Some(kind) if kind != "container" => return Reading::Ignored,
        None if faults.any() => return Reading::Malformed,
        _ => {}
    }
    let Some(action) = event.word("Action", &faults).or_else(|| event.word("status", &faults)) else {
        return Reading::Malformed;
    };
    let actor = event.object("Actor", &faults).unwrap_or_default();
    let attributes = actor.object("Attributes", &faults).unwrap_or_default();
    let attribute = |name: &str| attributes.word(name, &faults);
    // Podman tells the health beside the actor.
    let beside = |name: &str| (name == "health_status").then(|| event.word("HealthStatus", &faults))?;
    let Some(kind) = kind(&action, |name| attribute(name).or_else(|| beside(name))) else {
        return Reading::Ignored;
    };
    let Some(id) = actor.word("ID", &faults).or_else(|| event.word("id", &faults)) else {
        return Reading::Malformed;
    };
    let at = event
        .integer("timeNano", &faults)
        .and_then(clock::unix_nanos)
        .or_else(|| event.integer("time", &faults).and_then(clock::unix_seconds));
    let labels = attributes
        .strings(&faults)
        .filter(|(name, _)| !NOT_LABELS.contains(name))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Reading::Event(Box::new(Event {
        id: ContainerId::new(&id),
        kind,
        at,
        name: attribute("name").map(|name| name.trim_start_matches('/').into()),
        image: attribute("image").or_else(|| event.word("from", &faults)).map(Arc::from),
        labels,
    }))
}

fn kind(action: &str, attribute: impl Fn(&str) -> Option<String>) -> Option<Kind> {
    if let Some(status) = action.strip_prefix("health_status") {
        let word = status.strip_prefix(": ").map(str::to_owned).or_else(|| attribute("health_status"));
        return Some(Kind::Health(word.and_then(|word| read::health_named(word.trim()))));
    }
    Some(match action {
        "create" => Kind::Created,
        "start" => Kind::Started,
        // Podman's own API says `died`.
        "die" | "died" => {
            let code = attribute("exitCode").or_else(|| attribute("containerExitCode"));
            Kind::Died(code.and_then(|code| code.parse().ok()))
        }
        "pause" => Kind::Paused,
        "unpause" => Kind::Unpaused,
        "rename" => Kind::Renamed,
        "update" => Kind::Updated,
        "restart" => Kind::Restarted,
        "oom" => Kind::Oom,
        "destroy" | "remove" => Kind::Removed,
        _ => return None,
    })
}
