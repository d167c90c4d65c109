//! From the engine's answers to the model: list, inspect, version, info.
//!
//! Field names are those of the Engine API reference (`ContainerSummary`, `ContainerInspectResponse`,
//! `SystemVersion`, `SystemInfo`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use collector_core::{
    Container, ContainerId, Engine, EngineInfo, Health, Limits, Mount, Network, State, effective::Limit,
};
use serde_json::value::RawValue;

use crate::{
    clock,
    json::{Faults, Object},
};

/// Whose containers are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    /// Kind of engine.
    pub(crate) engine: Engine,
    /// Owner of a rootless engine.
    pub(crate) uid: Option<u32>,
}

/// A container as the list or inspect shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// What could be understood.
    pub(crate) container: Container,
    /// Whether something could not.
    pub(crate) malformed: bool,
    /// The list's words on its state, such as `Up 5 minutes (healthy)`.
    pub(crate) status: String,
}

/// What one list holds.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// Every container that has an id.
    pub(crate) containers: Vec<Seen>,
    /// How many entries had none.
    pub(crate) nameless: u64,
}

/// An image's id with its algorithm, as Docker spells it; Podman's own API and its store leave that out, and so did its answers
/// to Docker's questions. Containers and images are joined by it.
pub(crate) fn image_id(id: String) -> Arc<str> {
    let is_bare = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_bare { format!("sha256:{id}").into() } else { id.into() }
}

/// Reads `GET /containers/json`; `None` if the answer is no list.
pub(crate) fn list(body: &str, owner: Owner) -> Option<List> {
    let mut list = List::default();
    // Podman answers `null` where there is none.
    let entries: Option<Vec<&RawValue>> = serde_json::from_str(body).ok()?;
    for entry in entries.unwrap_or_default() {
        match Object::parse(entry.get()).and_then(|entry| listed(&entry, owner)) {
            Some(seen) => list.containers.push(seen),
            None => list.nameless += 1,
        }
    }
    Some(list)
}

fn listed(entry: &Object<'_>, owner: Owner) -> Option<Seen> {
    let faults = Faults::default();
    let id = ContainerId::new(&entry.word("Id", &faults)?);
    let status = entry.text("Status", &faults).unwrap_or_default();
    let state =
        state_word(entry, "State", &faults).or_else(|| state_of_words(&status)).unwrap_or(State::Created);
    let mut container = Container::new(id, owner.engine, state);
    container.uid = owner.uid;
    container.name = entry.array("Names", &faults).and_then(|names| own_name(&names));
    container.image = entry.word("Image", &faults).map(Arc::from);
    container.image_id = entry.word("ImageID", &faults).map(image_id);
    container.created_at = entry.integer("Created", &faults).and_then(clock::unix_seconds);
    container.labels = labels(entry, &faults);
    if let Some(host) = entry.object("HostConfig", &faults)
        && let Some(mode) = host.word("NetworkMode", &faults)
    {
        container.network = network(&mode);
    }
    // API ≥ 1.52 carries `Health`; before, only the words tell.
    container.health = entry
        .object("Health", &faults)
        .and_then(|health| health_word(&health, &faults))
        .or_else(|| health_of_words(&status, state, owner.engine));
    container.exit_code = exit_code_of_words(&status);
    container.pod = entry.word("PodName", &faults).map(Arc::from);
    Some(Seen { container, malformed: faults.any(), status })
}

/// Reads the pods' names of `GET /libpod/containers/json`, by container: Podman's Docker-compatible answers do not tell
/// them.
pub(crate) fn pods(body: &str) -> HashMap<ContainerId, Arc<str>> {
    let faults = Faults::default();
    let entries: Option<Vec<&RawValue>> = serde_json::from_str(body).unwrap_or_default();
    let pod = |entry: &&RawValue| {
        let entry = Object::parse(entry.get())?;
        Some((ContainerId::new(&entry.word("Id", &faults)?), entry.word("PodName", &faults)?.into()))
    };
    entries.unwrap_or_default().iter().filter_map(pod).collect()
}

/// Of a container's names the one that is not a link's (`/other/alias`), without its slash.
fn own_name(names: &[&RawValue]) -> Option<Arc<str>> {
    let names: Vec<String> = names.iter().filter_map(|name| serde_json::from_str(name.get()).ok()).collect();
    let bare = |name: &String| name.trim_start_matches('/').to_owned();
    let own = names.iter().map(bare).find(|name| !name.is_empty() && !name.contains('/'));
    own.or_else(|| names.first().map(bare).filter(|name| !name.is_empty())).map(Arc::from)
}

fn labels(holder: &Object<'_>, faults: &Faults) -> BTreeMap<String, String> {
    let Some(labels) = holder.object("Labels", faults) else { return BTreeMap::new() };
    labels.strings(faults).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn state_word(holder: &Object<'_>, key: &str, faults: &Faults) -> Option<State> {
    let word = holder.word(key, faults)?;
    let state = State::parse(&word.to_ascii_lowercase());
    if state.is_none() {
        faults.add();
    }
    state
}

fn state_of_words(status: &str) -> Option<State> {
    match status.split(' ').next()? {
        "Up" if status.ends_with("(Paused)") => Some(State::Paused),
        "Up" => Some(State::Running),
        "Exited" => Some(State::Exited),
        "Restarting" => Some(State::Restarting),
        "Created" => Some(State::Created),
        "Dead" => Some(State::Dead),
        "Removal" => Some(State::Removing),
        _ => None,
    }
}

/// `Up 7 seconds (healthy)`. A running container without brackets has no check, but for Podman, whose list says nothing
/// of health; what is stopped has none to show.
fn health_of_words(status: &str, state: State, engine: Engine) -> Option<Health> {
    let inside = status.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')).map(|(_, inside)| inside);
    match inside {
        Some("healthy") => Some(Health::Healthy),
        Some("unhealthy") => Some(Health::Unhealthy),
        Some("health: starting" | "starting") => Some(Health::Starting),
        None if engine != Engine::Podman && state == State::Running && status.starts_with("Up ") => {
            Some(Health::NoCheck)
        }
        _ => None,
    }
}

fn exit_code_of_words(status: &str) -> Option<i64> {
    let rest = status.strip_prefix("Exited (").or_else(|| status.strip_prefix("Restarting ("))?;
    rest.split_once(')')?.0.parse().ok()
}

fn health_word(health: &Object<'_>, faults: &Faults) -> Option<Health> {
    let word = health.text("Status", faults)?;
    let known = health_named(&word);
    if known.is_none() {
        faults.add();
    }
    known
}

/// Reads `State.Health.Status`; Podman leaves it empty where there is no check.
pub(crate) fn health_named(word: &str) -> Option<Health> {
    match word {
        "none" | "" => Some(Health::NoCheck),
        "starting" => Some(Health::Starting),
        "healthy" => Some(Health::Healthy),
        "unhealthy" => Some(Health::Unhealthy),
        _ => None,
    }
}

/// Reads `GET /containers/{id}/json`; `None` if the answer is no object. An answer without an id belongs to
/// the container that was asked for.
pub(crate) fn inspect(body: &str, asked: &ContainerId, owner: Owner) -> Option<Seen> {
    let answer = Object::parse(body)?;
    let faults = Faults::default();
    let mut container = Container::new(asked.clone(), owner.engine, State::Created);
    container.uid = owner.uid;
    container.name = answer
        .word("Name", &faults)
        .map(|name| name.trim_start_matches('/').to_owned())
        .filter(|name| !name.is_empty())
        .map(Arc::from);
    container.image_id = answer.word("Image", &faults).map(image_id);
    container.created_at = answer.word("Created", &faults).and_then(|text| time(&text, &faults));
    container.restart_count =
        answer.integer("RestartCount", &faults).and_then(|count| u64::try_from(count).ok());
    container.pod = answer.word("PodName", &faults).map(Arc::from);
    if let Some(config) = answer.object("Config", &faults) {
        container.image = config.word("Image", &faults).map(Arc::from);
        container.labels = labels(&config, &faults);
    } else {
        faults.add();
    }
    if let Some(host) = answer.object("HostConfig", &faults) {
        if let Some(mode) = host.word("NetworkMode", &faults) {
            container.network = network(&mode);
        }
        // Podman says `oci` whatever the runtime is.
        container.runtime = host
            .word("Runtime", &faults)
            .filter(|runtime| owner.engine != Engine::Podman || runtime != "oci")
            .map(Arc::from);
        container.limits = limits(&host, &faults);
    } else {
        faults.add();
    }
    container.mounts = mounts(&answer, &faults);
    container.log_path = answer.word("LogPath", &faults).map(Arc::from);
    match answer.object("State", &faults) {
        Some(state) => run_state(&mut container, &state, &faults),
        None => faults.add(),
    }
    Some(Seen { container, malformed: faults.any(), status: String::new() })
}

/// Reads `Mounts`; one that has no place is left out.
fn mounts(answer: &Object<'_>, faults: &Faults) -> Arc<[Mount]> {
    let mount = |entry: &&RawValue| {
        let entry = Object::parse(entry.get())?;
        let kind = entry.word("Type", faults).unwrap_or_default();
        let mut mount = Mount::new(&entry.word("Destination", faults)?, &kind);
        mount.name = entry.word("Name", faults).map(Arc::from);
        mount.source = entry.word("Source", faults).map(Arc::from);
        Some(mount)
    };
    answer.array("Mounts", faults).unwrap_or_default().iter().filter_map(mount).collect()
}

fn run_state(container: &mut Container, state: &Object<'_>, faults: &Faults) {
    container.pid = state
        .integer("Pid", faults)
        .filter(|pid| *pid > 0)
        .and_then(|pid| u32::try_from(pid).ok().filter(|pid| i32::try_from(*pid).is_ok()));
    let flag = |key| state.flag(key, faults) == Some(true);
    container.state = state_word(state, "Status", faults).unwrap_or_else(|| {
        faults.add();
        // The order matters: a paused or restarting container is `Running` too.
        if flag("Paused") {
            State::Paused
        } else if flag("Restarting") {
            State::Restarting
        } else if flag("Running") || container.pid.is_some() {
            State::Running
        } else if flag("Dead") {
            State::Dead
        } else {
            State::Exited
        }
    });
    container.oom_killed = flag("OOMKilled");
    let moment = |key| state.word(key, faults).and_then(|text| time(&text, faults));
    container.started_at = moment("StartedAt");
    container.finished_at = moment("FinishedAt");
    // Of a container that runs the engine says 0, which is no run's exit code.
    let ended = !container.state.has_processes() && container.finished_at.is_some();
    container.exit_code = if ended { state.integer("ExitCode", faults) } else { None };
    if !container.state.has_processes() {
        container.pid = None;
    }
    container.health = match state.object("Health", faults) {
        Some(health) => health_word(&health, faults),
        None if state.raw("Health").is_none() => Some(Health::NoCheck),
        None => None,
    };
}

fn time(text: &str, faults: &Faults) -> Option<std::time::SystemTime> {
    let time = clock::rfc3339(text);
    if time.is_none() && !text.starts_with("0001-01-01T") {
        faults.add();
    }
    time
}

/// Reads `HostConfig.NetworkMode`. Podman's `slirp4netns`, `pasta`, `private` and `bridge` are namespaces of
/// their own.
pub(crate) fn network(mode: &str) -> Network {
    match mode.split_once(':') {
        Some(("container", id)) if !id.is_empty() => Network::Container(ContainerId::new(id)),
        // A namespace given by path belongs to somebody else, nobody knows whom.
        Some(("ns", _)) => Network::Unknown,
        _ => match mode {
            "host" => Network::Host,
            "none" => Network::None,
            _ => Network::Own,
        },
    }
}

fn limits(host: &Object<'_>, faults: &Faults) -> Limits {
    let limit = |key| host.integer(key, faults).map(positive);
    Limits {
        memory: limit("Memory"),
        memory_swap: limit("MemorySwap"),
        memory_reservation: limit("MemoryReservation"),
        nano_cpus: nano_cpus(host, faults),
        cpu_shares: host
            .integer("CpuShares", faults)
            .and_then(|shares| u64::try_from(shares).ok())
            .map(|shares| if shares == 0 { 1024 } else { shares }),
        // Null where nothing was asked for, so null is told apart from a host config without limits.
        pids: limit("PidsLimit").or_else(|| host.raw("Memory").map(|_| Limit::Max)),
    }
}

/// 0 and −1 stand for no limit.
fn positive(value: i64) -> Limit {
    match u64::try_from(value) {
        Ok(value) if value > 0 => Limit::Value(value),
        _ => Limit::Max,
    }
}

/// `NanoCpus`, or what `CpuQuota` per `CpuPeriod` (µs, 100 ms by default) comes to.
fn nano_cpus(host: &Object<'_>, faults: &Faults) -> Option<Limit> {
    let nano = host.integer("NanoCpus", faults);
    if let Some(nano) = nano.filter(|nano| *nano > 0) {
        return Some(positive(nano));
    }
    let quota = host.integer("CpuQuota", faults);
    let period = host.integer("CpuPeriod", faults).filter(|period| *period > 0).unwrap_or(100_000);
    match quota.filter(|quota| *quota > 0) {
        Some(quota) => {
            let nano = i128::from(quota) * 1_000_000_000 / i128::from(period);
            Some(positive(i64::try_from(nano).unwrap_or(i64::MAX)))
        }
        None => nano.or(quota).map(|_| Limit::Max),
    }
}

/// What `GET /version` adds to what is known of the engine.
#[derive(Debug, Default)]
pub(crate) struct Version {
    /// Engine version.
    pub(crate) version: Option<String>,
    /// The oldest API it serves.
    pub(crate) api_min: Option<ApiVersion>,
    /// Whether a component is Podman's engine.
    pub(crate) is_podman: bool,
}

/// Reads `GET /version`.
pub(crate) fn version(body: &str) -> Version {
    let faults = Faults::default();
    let Some(answer) = Object::parse(body) else { return Version::default() };
    let components = answer.array("Components", &faults).unwrap_or_default();
    let is_podman = components
        .iter()
        .filter_map(|component| Object::parse(component.get())?.text("Name", &faults))
        .any(|name| name.starts_with("Podman"));
    Version {
        version: answer.word("Version", &faults),
        api_min: answer.word("MinAPIVersion", &faults).and_then(|text| ApiVersion::parse(&text)),
        is_podman,
    }
}

/// Reads `GET /info` into what is known of the engine.
pub(crate) fn info(body: &str, into: &mut EngineInfo) {
    let faults = Faults::default();
    let Some(answer) = Object::parse(body) else { return };
    let take = |key: &str, field: &mut String| {
        if let Some(word) = answer.word(key, &faults) {
            *field = word;
        }
    };
    take("CgroupDriver", &mut into.cgroup_driver);
    take("Driver", &mut into.storage_driver);
    take("ServerVersion", &mut into.version);
}

/// Version of the Engine API, such as 1.41.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// The newest API whose answers this crate was tested with: its list carries `Health`.
    pub(crate) const OURS: Self = Self { major: 1, minor: 52 };

    /// The first whose `/containers/{id}/stats` has `one-shot`.
    pub(crate) const ONE_SHOT: Self = Self { major: 1, minor: 41 };

    /// Reads `1.41`, or Podman's `1.41.0`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        Some(Self { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
    }

    /// What both speak: the smaller of the newest versions, but not below the engine's oldest.
    pub(crate) fn negotiate(engine: Option<Self>, engine_min: Option<Self>) -> Self {
        let common = engine.map_or(Self::OURS, |engine| engine.min(Self::OURS));
        engine_min.map_or(common, |oldest| oldest.max(common))
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
