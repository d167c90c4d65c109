//! Group state: what the engine knows of a container. These series stay while a container is stopped.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use metric_schema::{Alias, Attribute, Conversion, MetricDef, OtelMetric, Unit, Values};

use super::{InfoLabels, Row, Source, cpu::cadvisor, rows};
use crate::{Absence, Container, Group, Health, Reading, State, Value};

const G: &str = Group::State.as_str();
pub(super) const STATE: &[Attribute] =
    &[Attribute::new("state", Values::Closed(State::NAMES)).otel("container.state.status")];
const HEALTH: &[Attribute] =
    &[Attribute::new("health", Values::Closed(Health::NAMES)).otel("container.state.health.status")];

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        CREATION_TIME, EXIT_CODE, FINISHED_TIME, HEALTH_SET, HEALTH_STATE, INFO, LAST_SEEN, OOM_EVENTS,
        RESTART_COUNT, RESTARTS, SAMPLE_AGE, START_TIME, STATE_SET,
    };
}

fn unix(time: Option<SystemTime>) -> Reading {
    let nanos = time.and_then(|time| u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok());
    nanos.map_or(Reading::Absent(Absence::NotCollected), |nanos| Reading::Value(Value::Nanos(nanos)))
}

fn health(container: &Container) -> Reading {
    match container.health {
        None => Reading::Absent(Absence::NotCollected),
        Some(Health::NoCheck) => Reading::Value(Value::Float(-1.0)),
        Some(Health::Healthy) => Reading::int(1),
        Some(Health::Starting | Health::Unhealthy) => Reading::int(0),
    }
}

fn exit_code(container: &Container) -> Reading {
    match container.exit_code {
        None => Reading::Absent(Absence::NotCollected),
        #[expect(clippy::cast_precision_loss, reason = "exit codes have 32 bits")]
        Some(code) => u64::try_from(code).map_or(Reading::Value(Value::Float(code as f64)), Reading::int),
    }
}

/// The labels of `container_info`, each only where it is known.
fn info(container: &Container) -> InfoLabels {
    let label = |key: &str| {
        container.labels.get(key).filter(|value| !value.is_empty()).map(|value| value.as_str().into())
    };
    let mut labels: InfoLabels = vec![("engine", container.engine.as_str().into())];
    let known: [(&'static str, Option<Arc<str>>); 6] = [
        ("image_id", container.image_id.clone()),
        ("runtime", container.runtime.clone()),
        ("compose_project", label("com.docker.compose.project")),
        ("compose_service", label("com.docker.compose.service")),
        ("pod", container.pod.clone()),
        ("uid", container.uid.map(|uid| uid.to_string().into())),
    ];
    labels.extend(known.into_iter().filter_map(|(name, value)| Some((name, value?))));
    labels
}

rows! { 0;
    INFO = Row::container(Group::State,
        MetricDef::gauge("container.info", Unit::One, G,
            "What describes the container, as labels: engine, image id, runtime, Compose project and service, pod.")
            .not_otlp("its labels are attributes of the container's Resource"),
        Source::Info(info));
    STATE_SET = Row::container(Group::State,
        MetricDef::gauge("container.state", Unit::One, G, "1 for the state that the container is in, 0 for the others.")
            .otel(OtelMetric::up_down("container.state.status", Unit::Count("{container}")).by_convention()).by(STATE),
        Source::StateSet(|container| Some(container.state as usize)));
    HEALTH_STATE = Row::container(Group::State,
        MetricDef::gauge("container.health_state", Unit::One, G,
            "Health check: 1 healthy, 0 starting or unhealthy, -1 no check.")
            .not_otlp("container.state.health.status tells more")
            .aliased(cadvisor!("container_health_state")),
        Source::Engine(health));
    HEALTH_SET = Row::container(Group::State,
        MetricDef::up_down("container.health", Unit::Count("{container}"), G, "1 for the state of the health check, 0 for the others.")
            .otel(OtelMetric::up_down("container.state.health.status", Unit::Count("{container}")).by_convention())
            .by(HEALTH).only_aliased("container_health_state tells it"),
        Source::StateSet(|container| container.health.map(|health| health as usize)));
    START_TIME = Row::container(Group::State,
        MetricDef::gauge("container.start_time", Unit::UnixSeconds, G, "When the current or last run started, Unix time.")
            .otel(OtelMetric::gauge("container.uptime", Unit::Seconds).converted(Conversion::Age).by_convention())
            .aliased(cadvisor!("container_start_time_seconds")),
        Source::Engine(|container| unix(container.started_at)));
    CREATION_TIME = Row::container(Group::State,
        MetricDef::gauge("container.creation_time", Unit::UnixSeconds, G, "When the container was made, Unix time.")
            .aliased(cadvisor!("container_creation_time_seconds")),
        Source::Engine(|container| unix(container.created_at)));
    FINISHED_TIME = Row::container(Group::State,
        MetricDef::gauge("container.finished_time", Unit::UnixSeconds, G, "When the last run ended, Unix time."),
        Source::Engine(|container| unix(container.finished_at)));
    EXIT_CODE = Row::container(Group::State,
        MetricDef::gauge("container.exit_code", Unit::One, G, "Exit code of the last run; absent before the first end."),
        Source::Engine(exit_code));
    RESTARTS = Row::container(Group::State,
        MetricDef::counter("container.restarts", Unit::Count("{restart}"), G,
            "Runs that began while the exporter watched, after one that it knew: by policy and by hand."),
        Source::Collector);
    RESTART_COUNT = Row::container(Group::State,
        MetricDef::gauge("container.engine_restarts", Unit::Count("{restart}"), G,
            "The engine's count of restarts by policy, which a start by hand sets back to 0."),
        Source::Engine(|container| container.restart_count.map_or(Reading::Absent(Absence::NotCollected), Reading::int)));
    OOM_EVENTS = Row::container(Group::State,
        MetricDef::counter("container.oom_events", Unit::Count("{process}"), G,
            "Processes killed for want of memory while the exporter watched, by the kernel's count, kept over restarts.")
            .aliased(cadvisor!("container_oom_events_total")),
        Source::Collector);
    LAST_SEEN = Row::container(Group::State,
        MetricDef::gauge("container.last_seen", Unit::UnixSeconds, G, "When the container was last seen, Unix time.")
            .not_otlp("each point has its time")
            .named("container_last_seen", "cAdvisor's name").aliased(cadvisor!("container_last_seen")),
        Source::Collector);
    SAMPLE_AGE = Row::container(Group::State,
        MetricDef::gauge("container.sample.age", Unit::Seconds, G,
            "How old the container's numbers are where they come from the engine's stats API (remote engines, sandboxed runtimes); absent where the kernel is read."),
        Source::Collector);
}
