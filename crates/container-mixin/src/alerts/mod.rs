//! Every alert, by what it is about. [`all`] is the table; rules, their tests, runbooks and the table in `docs/alerting.md`
//! are made from it.

mod cpu;
mod exporter;
mod host;
mod memory;
mod otlp;
mod otlp_service;
mod resources;
mod spans;
mod state;
mod write;

use collector_core::catalogue::RowId;
use mixin::{Alert, Expr, Link, Selector, Step, Window};

use crate::dashboards::uid;
use crate::metric::metric;

pub(crate) use write::write;

/// The window of rates: long enough for four scrapes a minute apart.
const RATE: Window = Window::Fixed("5m");
/// [`RATE`] in minutes.
const RATE_MINUTES: u64 = 5;

/// All labels of a container's series.
const CONTAINER: &[&str] = &["job", "instance", "container_id", "container_name", "image"];
const TARGET: &[&str] = &["job", "instance"];

/// The dashboard of one container.
const ON_CONTAINER: Link = Link {
    dashboard: uid::CONTAINER,
    variables: &[("job", "job"), ("instance", "instance"), ("name", "container_name")],
};
/// The dashboard of one host.
const ON_HOST: Link = Link { dashboard: uid::HOST, variables: &[("job", "job"), ("instance", "instance")] };
/// The dashboard of the exporter itself.
const ON_EXPORTER: Link =
    Link { dashboard: uid::EXPORTER, variables: &[("job", "job"), ("instance", "instance")] };

/// The dashboard of a service's spans.
const ON_SERVICE: Link = Link { dashboard: uid::OTLP, variables: &[] };

/// A group of alerts: its name, and in which order they stand.
#[derive(Debug, Clone)]
pub struct AlertGroup {
    /// The file's name without its extension, and the group's.
    pub name: &'static str,
    /// What they are about, for the comment of the file.
    pub about: &'static str,
    /// How often they are evaluated, where not as often as the server says.
    pub interval: Option<&'static str>,
    /// The alerts.
    pub alerts: Vec<Alert>,
}

impl AlertGroup {
    const fn new(name: &'static str, about: &'static str, alerts: Vec<Alert>) -> Self {
        Self { name, about, interval: None, alerts }
    }
}

/// Every alert with its defaults.
#[must_use]
pub fn all() -> Vec<AlertGroup> {
    let containers = [cpu::alerts(), memory::alerts(), resources::alerts(), state::alerts()].concat();
    vec![
        AlertGroup::new("container_alerts", "containers: what they lack and how they fare", containers),
        AlertGroup::new("host_alerts", "hosts, as their containers feel them", host::alerts()),
        AlertGroup::new(
            "exporter_alerts",
            "the exporter: whether what it says is whole and fresh",
            exporter::alerts(),
        ),
        AlertGroup::new("otlp_alerts", "what leaves by OTLP", [otlp::alerts(), spans::alerts()].concat()),
        AlertGroup {
            interval: Some("30s"),
            ..AlertGroup::new(
                "otlp_service_alerts",
                "a service that counts its spans with runtime-metrics",
                otlp_service::alerts(),
            )
        },
    ]
}

fn now(row: RowId) -> Expr {
    metric(row).now()
}

fn rate(row: RowId) -> Expr {
    metric(row).rate(RATE)
}

fn select(row: RowId) -> Selector {
    metric(row).select()
}

/// A rise by so much a second, as a rise by the minute.
fn by_minute(rate: f64) -> f64 {
    rate * 60.0
}

/// What the other commands of a container's runbook stand on.
const FIND: Step = Step::Shell(
    "On the host that `instance` names, as root. With Podman, write `podman` for `docker` (its `top` names columns of its own: `podman top \"$C\" pid ppid pcpu rss args`); the rest works on cgroup v1 and v2.",
    r#"C=web # container_name of the alert
ID=$(docker inspect -f '{{.Id}}' "$C")
cgroup() { find /sys/fs/cgroup -path "*$ID*" -name "$1" -exec grep -H . {} +; }"#,
);

/// What the exporter itself says is wrong.
const DOCTOR: Step = Step::Shell(
    "What the exporter finds wrong on its host, each with its mending. Where it runs in a container: `docker exec NAME /container-exporter doctor`.",
    "container-exporter doctor",
);

/// The other end of OTLP.
const RECEIVER: Step = Step::Shell(
    "Whether the receiver can be reached from the host that sends to it, and what it says to each signal (4317 is gRPC, 4318 HTTP).",
    r#"nc -vz "$RECEIVER" 4317
for signal in metrics traces; do
  curl -sS -i -X POST -H 'Content-Type: application/json' -d '{}' "http://$RECEIVER:4318/v1/$signal"
done"#,
);
