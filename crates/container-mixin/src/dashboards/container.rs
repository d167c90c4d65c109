//! L3: one container. What does it do, what holds it back, when did it restart or die?

use collector_core::Group;
use collector_core::catalogue::{Entity, RowId, ids};
use mixin::dashboard::{Color, Dashboard, Mapping, Panel, Query, Section, Shown, Variable};
use mixin::{Profile, Window, scalar_time};

use super::parts::{self, *};
use super::uid;
use crate::metric::metric;

const NAME: &str = "{container_name}";

pub(super) fn dashboard(_: Profile) -> Dashboard {
    let dashboard = parts::dashboard(
        uid::CONTAINER,
        "Containers / Container",
        "One container, or several to compare: use against limits, what it waits for, starts and kills.",
    )
    // Stopped containers have it, too.
    .variable(Variable::new("name", "Container", metric(ids::LAST_SEEN), "container_name"));
    let dashboard = with_events(dashboard)
        .section(Section::top(now()))
        .section(Section::open("CPU and memory", cpu_and_memory()))
        .section(Section::open("Waiting", waiting()))
        .section(Section::collapsed("Memory by kind", memory_by_kind()))
        .section(Section::collapsed("Disk", disk()))
        .section(Section::collapsed("Network", network()))
        .section(Section::collapsed("State and history", history()));
    Group::ALL
        .into_iter()
        .filter(|group| !matches!(group, Group::Host | Group::Engine | Group::EngineDisk | Group::Exporter))
        .fold(dashboard, |dashboard, group| {
            let asked = if group.is_standard() { "" } else { ", where it is switched on" };
            let title = format!("Every metric: {}{asked}", group.as_str());
            dashboard.section(Section::collapsed(title, rows_of(group, Entity::Container)))
        })
}

fn stat(title: &'static str, description: &'static str, expr: mixin::Expr) -> Panel {
    Panel::stat(title, description).query(Query::new(expr, NAME))
}

fn now() -> Vec<Panel> {
    let uptime = scalar_time_since(ids::START_TIME);
    vec![
        stat("Up for", "Time since the current run, or the last one, began.", uptime).shown(Shown::Duration),
        stat("Health", "What the container's health check says.", max(ids::HEALTH_STATE, CONTAINER))
            .shown(Shown::Plain)
            .mappings(HEALTH),
        stat(
            "CPU of limit",
            "CPUs in use by those that may be used.",
            cpu(CONTAINER).per(cpu_limit(CONTAINER)),
        )
        .shown(Shown::Ratio)
        .steps(CPU_STEPS),
        stat(
            "Memory of limit",
            "Working set by effective limit: own, an ancestor's or the host's memory. At 1 the kernel kills.",
            memory(CONTAINER).per(memory_limit(CONTAINER)),
        )
        .shown(Shown::Ratio)
        .steps(MEMORY_STEPS),
        stat(
            "Restarts, 24 h",
            "Runs that began again in the last day, by policy and by hand.",
            metric(ids::RESTARTS).increase(Window::Fixed("24h")).sum_by(CONTAINER),
        )
        .shown(Shown::Plain)
        .steps(SOME_STEPS),
        stat(
            "OOM kills, 24 h",
            "Processes killed for want of memory in the last day.",
            metric(ids::OOM_EVENTS).increase(Window::Fixed("24h")).sum_by(CONTAINER),
        )
        .shown(Shown::Plain)
        .steps(ANY_STEPS),
        stat(
            "Last exit code",
            "Of the run before; 137 is a kill, 143 a stop.",
            max(ids::EXIT_CODE, CONTAINER),
        )
        .shown(Shown::Plain)
        .steps(SOME_STEPS),
        stat("Threads", "Threads and processes.", sum(ids::THREADS, CONTAINER)).shown(Shown::Plain),
    ]
}

fn scalar_time_since(row: RowId) -> mixin::Expr {
    scalar_time().minus(max(row, CONTAINER))
}

fn cpu_and_memory() -> Vec<Panel> {
    vec![
        Panel::graph("CPU, cores", "Cores in use: 1 is one core all the time. The dashed line is what may be used.")
            .query(Query::new(cpu(CONTAINER), NAME))
            .query(Query::new(cpu_limit(CONTAINER), "limit of {container_name}").limit())
            .min(0.0),
        Panel::graph(
            "Memory",
            "Working set: without the page cache that can be dropped at once. The dashed line is the effective limit.",
        )
        .query(Query::new(memory(CONTAINER), NAME))
        .query(Query::new(memory_limit(CONTAINER), "limit of {container_name}").limit())
        .shown(Shown::Bytes)
        .min(0.0),
    ]
}

fn waiting() -> Vec<Panel> {
    let pressure = |title, description, some, all| {
        Panel::graph(title, description)
            .query(Query::new(rate(some, CONTAINER), "{container_name}, some task"))
            .query(Query::new(rate(all, CONTAINER), "{container_name}, all tasks"))
            .shown(Shown::Ratio)
            .steps(PRESSURE_STEPS)
            .min(0.0)
            .size(6, 7)
    };
    vec![
        Panel::graph("Throttled", "Share of the periods in which the CPU quota stopped the container.")
            .query(Query::new(throttled(CONTAINER), NAME))
            .shown(Shown::Ratio)
            .steps(PRESSURE_STEPS)
            .min(0.0)
            .max(1.0)
            .size(6, 7),
        pressure(
            "Waiting for CPU",
            "Share of time in which tasks were ready and had no CPU.",
            ids::PRESSURE_CPU_WAITING,
            ids::PRESSURE_CPU_STALLED,
        ),
        pressure(
            "Waiting for memory",
            "Share of time in which tasks waited for memory: what was dropped is read again, or swapped in.",
            ids::PRESSURE_MEMORY_WAITING,
            ids::PRESSURE_MEMORY_STALLED,
        ),
        pressure(
            "Waiting for disks",
            "Share of time in which tasks waited for I/O.",
            ids::PRESSURE_IO_WAITING,
            ids::PRESSURE_IO_STALLED,
        ),
    ]
}

fn memory_by_kind() -> Vec<Panel> {
    let kinds = [
        (ids::MEMORY_RSS, "anonymous"),
        (ids::MEMORY_CACHE, "page cache"),
        (ids::MEMORY_KERNEL, "kernel"),
        (ids::MEMORY_SWAP, "swap"),
    ];
    let stack = Panel::stack(
        "Memory by kind",
        "Anonymous memory stays; page cache goes when it is needed elsewhere.",
    )
    .shown(Shown::Bytes);
    let stack = kinds.into_iter().fold(stack, |panel, (row, kind)| {
        panel.query(Query::new(sum(row, CONTAINER), format!("{kind} of {{container_name}}")))
    });
    let faults = Panel::graph(
        "Faults that read from disk",
        "Pages that were not in memory: many mean that it is short.",
    )
    .query(Query::new(rate(ids::MEMORY_PGMAJFAULT_HIERARCHY, CONTAINER), NAME))
    .shown(Shown::OpsPerSecond);
    vec![stack, faults]
}

fn disk() -> Vec<Panel> {
    const BY_DEVICE: &[&str] = &["job", "instance", "container_name", "device"];
    let graph = |title, description, reads, writes, shown| {
        Panel::graph(title, description)
            .query(Query::new(rate(reads, BY_DEVICE), "{container_name} reads {device}"))
            .query(Query::new(rate(writes, BY_DEVICE), "{container_name} writes {device}").negative())
            .shown(shown)
    };
    vec![
        graph(
            "Disk",
            "Bytes by device: read upwards, written downwards.",
            ids::FS_READS_BYTES,
            ids::FS_WRITES_BYTES,
            Shown::BytesPerSecond,
        ),
        graph(
            "Disk operations",
            "Operations by device: reads upwards, writes downwards.",
            ids::FS_READS,
            ids::FS_WRITES,
            Shown::IoPerSecond,
        ),
    ]
}

fn network() -> Vec<Panel> {
    const BY_INTERFACE: &[&str] = &["job", "instance", "container_name", "interface"];
    let graph = |title, description, receive, transmit, shown| {
        Panel::graph(title, description)
            .query(Query::new(rate(receive, BY_INTERFACE), "{container_name} receives on {interface}"))
            .query(
                Query::new(rate(transmit, BY_INTERFACE), "{container_name} sends on {interface}").negative(),
            )
            .shown(shown)
            .size(8, 8)
    };
    vec![
        graph(
            "Network",
            "Bytes by interface: received upwards, sent downwards.",
            ids::NETWORK_RECEIVE_BYTES,
            ids::NETWORK_TRANSMIT_BYTES,
            Shown::BytesPerSecond,
        ),
        graph(
            "Packets",
            "Packets by interface: received upwards, sent downwards.",
            ids::NETWORK_RECEIVE_PACKETS,
            ids::NETWORK_TRANSMIT_PACKETS,
            Shown::PacketsPerSecond,
        ),
        graph(
            "Dropped packets",
            "Packets that were lost: on receipt upwards, on sending downwards.",
            ids::NETWORK_RECEIVE_DROPPED,
            ids::NETWORK_TRANSMIT_DROPPED,
            Shown::PacketsPerSecond,
        ),
    ]
}

fn history() -> Vec<Panel> {
    let running = metric(ids::STATE_SET).select().eq("state", "running").now().max_by(CONTAINER);
    vec![
        Panel::states("Running", "When the container ran.")
            .query(Query::new(running, NAME))
            .shown(Shown::Plain)
            .mappings(&[
                Mapping { value: "0", text: "not running", color: Color::Gray },
                Mapping { value: "1", text: "running", color: Color::Green },
            ]),
        Panel::states("Health", "What the health check said.")
            .query(Query::new(max(ids::HEALTH_STATE, CONTAINER), NAME))
            .shown(Shown::Plain)
            .mappings(HEALTH),
    ]
}
