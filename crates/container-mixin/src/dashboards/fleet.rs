//! L1: all hosts and containers. Is anything wrong, and where?

use collector_core::catalogue::ids;
use mixin::dashboard::{Color, Dashboard, Panel, Query, Section, Shown};
use mixin::{Profile, Window};

use super::parts::{self, *};
use super::uid;
use crate::metric::metric;

const CONTAINER_COLUMNS: &[(&str, &str)] = &[("container_name", "Container"), ("instance", "Instance")];
const STATE_COLORS: &[(&str, Color)] = &[
    ("running", Color::Green),
    ("created", Color::Gray),
    ("exited", Color::Blue),
    ("paused", Color::Yellow),
    ("removing", Color::Purple),
    ("restarting", Color::Orange),
    ("dead", Color::Red),
];
const OUTCOME_COLORS: &[(&str, Color)] = &[
    ("success", Color::Green),
    ("error", Color::Orange),
    ("signal", Color::Yellow),
    ("oom", Color::Red),
    ("unknown", Color::Gray),
];
const DAY: Window = Window::Fixed("24h");

pub(super) fn dashboard(profile: Profile) -> Dashboard {
    let dashboard = parts::dashboard(
        uid::FLEET,
        "Containers / Fleet",
        "All hosts and their containers: what is down, restarting, unhealthy or short of something.",
    );
    with_events(dashboard)
        .section(Section::top(state()))
        .section(Section::open("Hosts", [hosts()]))
        .section(Section::open("Not well", [not_well()]))
        .section(Section::open("Use", use_over_time(profile)))
        .section(Section::open("Most", most()))
        .section(Section::collapsed("Every container", [containers()]))
}

fn count(title: &'static str, description: &'static str, expr: mixin::Expr) -> Panel {
    Panel::stat(title, description).query(Query::new(expr, "")).shown(Shown::Plain)
}

fn state() -> Vec<Panel> {
    let in_state = |state: &str| metric(ids::CONTAINER_COUNT).select().eq("state", state).now().sum();
    let failed = metric(ids::HOST_EXITS).select().re("outcome", "error|signal|oom").increase(DAY).sum();
    let oom = metric(ids::HOST_OOM_KILLS).increase(DAY).sum();
    vec![
        count("Hosts up", "Exporters that Prometheus reaches.", or_zero(up().equal(1.0).count())),
        count("Hosts down", "Exporters that Prometheus does not reach.", or_zero(up().equal(0.0).count()))
            .steps(ANY_STEPS),
        count(
            "Running",
            "Containers that run.",
            in_state("running").or_else(metric(ids::THREADS).now().count()),
        ),
        count(
            "Unhealthy",
            "Running containers whose health check fails or has not yet succeeded.",
            or_zero(unhealthy().count()),
        )
        .steps(SOME_STEPS),
        count("Restarting", "Containers that wait to be started again.", in_state("restarting"))
            .steps(SOME_STEPS),
        count(
            "Restarts, 1 h",
            "Runs that began again in the last hour, by policy and by hand.",
            or_zero(metric(ids::RESTARTS).increase(Window::Fixed("1h")).sum()),
        )
        .steps(&[(1.0, mixin::dashboard::Color::Orange), (10.0, mixin::dashboard::Color::Red)]),
        count(
            "OOM kills, 24 h",
            "Processes killed for want of memory in the last day, in containers already gone too.",
            oom.or_else(or_zero(metric(ids::OOM_EVENTS).increase(DAY).sum())),
        )
        .steps(ANY_STEPS),
        count(
            "Failed runs, 24 h",
            "Runs that ended with an error, a signal or an OOM kill in the last day.",
            failed,
        )
        .steps(SOME_STEPS),
    ]
}

fn hosts() -> Panel {
    let columns = &[("instance", "Instance"), ("job", "Job")];
    Panel::table("Hosts", "Every host; a click shows it alone.", columns)
        .query(Query::column(up(), "Exporter", Shown::Plain).mappings(UP_DOWN))
        .query(Query::column(
            metric(ids::CONTAINER_COUNT).select().eq("state", "running").now().sum_by(HOST),
            "Running",
            Shown::Plain,
        ))
        .query(
            Query::column(cpu(HOST).per(sum(ids::MACHINE_CORES, HOST)), "CPU of all cores", Shown::Ratio)
                .steps(CPU_STEPS)
                .bar(1.0),
        )
        .query(
            Query::column(
                memory(HOST).per(sum(ids::MACHINE_MEMORY, HOST)),
                "Memory of the host",
                Shown::Ratio,
            )
            .steps(MEMORY_STEPS)
            .bar(1.0),
        )
        .query(
            Query::column(rate(ids::HOST_CPU_WAITING, HOST), "Waiting for CPU", Shown::Ratio)
                .steps(PRESSURE_STEPS),
        )
        .query(
            Query::column(rate(ids::HOST_MEMORY_WAITING, HOST), "Waiting for memory", Shown::Ratio)
                .steps(PRESSURE_STEPS),
        )
        .query(
            Query::column(rate(ids::HOST_IO_WAITING, HOST), "Waiting for disks", Shown::Ratio)
                .steps(PRESSURE_STEPS),
        )
        .link("This host", link_to(uid::HOST, &[("instance", "__data.fields.Instance")]))
        .size(24, 5)
}

/// The counts above say that something is wrong, and this says what.
fn not_well() -> Panel {
    let restarts = metric(ids::RESTARTS).increase(Window::Fixed("1h")).sum_by(CONTAINER);
    let kills = metric(ids::OOM_EVENTS).increase(DAY).sum_by(CONTAINER);
    let panel = Panel::table(
        "Containers that are not well",
        "Unhealthy, started again in the last hour, or killed for want of memory in the last day; a click shows one alone.",
        CONTAINER_COLUMNS,
    )
    .query(Query::column(unhealthy().max_by(CONTAINER), "Health", Shown::Plain).mappings(HEALTH))
    .query(Query::column(restarts.gt(0.0), "Restarts, 1 h", Shown::Plain).steps(SOME_STEPS))
    .query(Query::column(kills.gt(0.0), "OOM kills, 24 h", Shown::Plain).steps(ANY_STEPS));
    row_to_container(panel).nothing("none").size(24, 6)
}

fn use_over_time(profile: Profile) -> Vec<Panel> {
    let top = |expr: mixin::Expr| Query::new(expr.topk(10), "{container_name} on {instance}");
    vec![
        line_to_container(
            Panel::graph("CPU of the busiest containers, cores", "Cores in use: 1 is one core all the time. The ten busiest.")
                .query(top(cpu(CONTAINER))),
            profile,
        ),
        line_to_container(
            Panel::graph(
                "Memory of the largest containers",
                "Working set: what cannot be dropped at once, so without the page cache that can. The ten largest.",
            )
            .query(top(memory(CONTAINER)))
            .shown(Shown::Bytes),
            profile,
        ),
        Panel::stack("Containers by state", "How many containers are in each state, on all hosts.")
            .query(Query::new(sum(ids::CONTAINER_COUNT, &["state"]), "{state}"))
            .colors(STATE_COLORS)
            .shown(Shown::Plain),
        Panel::graph("Ends of runs, per minute", "How runs of containers ended, as often as in a minute.")
            .query(Query::new(rate(ids::HOST_EXITS, &["outcome"]).times(60.0), "{outcome}"))
            .colors(OUTCOME_COLORS),
    ]
}

fn most() -> Vec<Panel> {
    let table = |title, description, query: Query, column| {
        row_to_container(
            Panel::table(title, description, CONTAINER_COLUMNS).query(query).top(column, 10).size(12, 8),
        )
    };
    let received = rate(ids::NETWORK_RECEIVE_BYTES, CONTAINER);
    let network = received.plus(rate(ids::NETWORK_TRANSMIT_BYTES, CONTAINER));
    let disk = rate(ids::FS_READS_BYTES, CONTAINER).plus(rate(ids::FS_WRITES_BYTES, CONTAINER));
    let ratio = memory(CONTAINER).per(memory_limit(CONTAINER));
    vec![
        table(
            "Nearest to the memory limit",
            "Working set by effective limit: at 1 the kernel kills.",
            Query::column(ratio, "Of limit", Shown::Ratio).steps(MEMORY_STEPS).bar(1.0),
            "Of limit",
        ),
        table(
            "Most throttled",
            "Share of the periods in which the CPU quota stopped the container.",
            Query::column(throttled(CONTAINER), "Throttled", Shown::Ratio).steps(PRESSURE_STEPS).bar(1.0),
            "Throttled",
        ),
        table(
            "Most network",
            "Received and sent together.",
            Query::column(network, "Network", Shown::BytesPerSecond),
            "Network",
        ),
        table(
            "Most disk",
            "Read and written together.",
            Query::column(disk, "Disk", Shown::BytesPerSecond),
            "Disk",
        ),
    ]
}

fn containers() -> Panel {
    let panel = Panel::table("Containers", "Every container; a click shows it alone.", CONTAINER_COLUMNS)
        .query(Query::column(max(ids::START_TIME, CONTAINER).times(1000.0), "Started", Shown::DateTime))
        .query(Query::column(cpu(CONTAINER), "CPU, cores", Shown::Short))
        .query(Query::column(memory(CONTAINER), "Memory", Shown::Bytes))
        .query(
            Query::column(memory(CONTAINER).per(memory_limit(CONTAINER)), "Of limit", Shown::Ratio)
                .steps(MEMORY_STEPS)
                .bar(1.0),
        )
        .query(Query::column(max(ids::RESTART_COUNT, CONTAINER), "Restarts by policy", Shown::Plain))
        .query(
            Query::column(
                metric(ids::OOM_EVENTS).increase(DAY).sum_by(CONTAINER),
                "OOM kills, 24 h",
                Shown::Plain,
            )
            .steps(ANY_STEPS),
        );
    row_to_container(panel).size(24, 16)
}

#[cfg(test)]
mod tests {
    use collector_core::catalogue::RowId;
    use metric_schema::Values;

    use super::*;

    #[track_caller]
    fn check(row: RowId, label: &str, colors: &[(&str, Color)]) {
        let def = metric(row).def();
        let found = def.attributes.iter().find(|attribute| attribute.name == label);
        let Some(Values::Closed(values)) = found.map(|attribute| attribute.values) else {
            panic!("{label} has no closed set of values");
        };
        let mut named: Vec<&str> = colors.iter().map(|(name, _)| *name).collect();
        let mut values = values.to_vec();
        named.sort_unstable();
        values.sort_unstable();
        assert_eq!(named, values);
    }

    #[test]
    fn every_state_and_outcome_has_its_colour() {
        check(ids::CONTAINER_COUNT, "state", STATE_COLORS);
        check(ids::HOST_EXITS, "outcome", OUTCOME_COLORS);
    }
}
