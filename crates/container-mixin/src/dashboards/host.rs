//! L2: a host. Which resource is short, and who uses it? Use, saturation and errors of each resource.

use collector_core::Group;
use collector_core::catalogue::{Entity, ids};
use mixin::dashboard::{Dashboard, Panel, Query, Section, Shown};
use mixin::{Profile, Window};

use super::parts::{self, *};
use super::uid;
use crate::metric::metric;

pub(super) fn dashboard(profile: Profile) -> Dashboard {
    let dashboard = parts::dashboard(
        uid::HOST,
        "Containers / Host",
        "One host or several: what its containers use of each resource, who waits, and what fails.",
    );
    with_events(dashboard)
        .section(Section::top(now()))
        .section(Section::open("CPU: use, waiting, throttling", cpu_panels(profile)))
        .section(Section::open("Memory: use, waiting, kills", memory_panels(profile)))
        .section(Section::collapsed("Disk: use, waiting, space", disk_panels(profile)))
        .section(Section::collapsed("Network: use, errors", network_panels(profile)))
        .section(Section::collapsed("Containers", [containers()]))
        .section(Section::collapsed("Every metric of the host", rows_of(Group::Host, Entity::Host)))
        .section(Section::collapsed(
            "Every metric of GPUs, where it is switched on",
            rows_of(Group::Gpu, Entity::Host),
        ))
}

fn now() -> Vec<Panel> {
    let by_host = |title, description, expr| {
        Panel::stat(title, description).query(Query::new(expr, "{instance}")).shown(Shown::Ratio)
    };
    vec![
        Panel::stat("Exporter", "Whether Prometheus reaches the host's exporter.")
            .query(Query::new(up(), "{instance}"))
            .shown(Shown::Plain)
            .mappings(UP_DOWN)
            .size(4, 4),
        Panel::stat("Running", "Containers that run.")
            .query(Query::new(
                metric(ids::CONTAINER_COUNT).select().eq("state", "running").now().sum_by(HOST),
                "{instance}",
            ))
            .shown(Shown::Plain)
            .size(4, 4),
        by_host(
            "CPU of all cores",
            "What the host's containers use of its logical CPUs.",
            cpu(HOST).per(sum(ids::MACHINE_CORES, HOST)),
        )
        .steps(CPU_STEPS)
        .size(4, 4),
        by_host(
            "Memory of the host",
            "Working sets of the host's containers, of its memory.",
            memory(HOST).per(sum(ids::MACHINE_MEMORY, HOST)),
        )
        .steps(MEMORY_STEPS)
        .size(4, 4),
        Panel::stat("OOM kills, 24 h", "Processes of containers killed for want of memory in the last day.")
            .query(Query::new(
                metric(ids::HOST_OOM_KILLS).increase(Window::Fixed("24h")).sum_by(HOST),
                "{instance}",
            ))
            .shown(Shown::Plain)
            .steps(ANY_STEPS)
            .size(4, 4),
        Panel::stat("Cores", "Logical CPUs of the host.")
            .query(Query::new(sum(ids::MACHINE_CORES, HOST), "{instance}"))
            .shown(Shown::Plain)
            .size(4, 4),
    ]
}

fn cpu_panels(profile: Profile) -> Vec<Panel> {
    vec![
        line_to_container(
            Panel::stack("CPU by container, cores", "Cores in use, and how many the host has.")
                .query(Query::new(cpu(CONTAINER), "{container_name} on {instance}"))
                .query(Query::new(sum(ids::MACHINE_CORES, HOST), "cores of {instance}").limit())
                .min(0.0),
            profile,
        ),
        Panel::graph(
            "Waiting for CPU",
            "Share of time in which at least one task of the host was ready and had no CPU.",
        )
        .query(Query::new(rate(ids::HOST_CPU_WAITING, HOST), "{instance}"))
        .shown(Shown::Ratio)
        .steps(PRESSURE_STEPS)
        .size(6, 8),
        line_to_container(
            Panel::graph(
                "Throttled",
                "Share of periods in which its quota stopped a container; the ten most.",
            )
            .query(Query::new(throttled(CONTAINER).topk(10), "{container_name} on {instance}"))
            .shown(Shown::Ratio)
            .steps(PRESSURE_STEPS)
            .max(1.0)
            .size(6, 8),
            profile,
        ),
    ]
}

fn memory_panels(profile: Profile) -> Vec<Panel> {
    let stalled = Query::new(rate(ids::HOST_MEMORY_STALLED, HOST), "{instance}, all tasks");
    vec![
        line_to_container(
            Panel::stack(
                "Memory by container",
                "Working set: without the page cache that can be dropped at once.",
            )
            .query(Query::new(memory(CONTAINER), "{container_name} on {instance}"))
            .shown(Shown::Bytes)
            .min(0.0),
            profile,
        ),
        Panel::graph(
            "Waiting for memory",
            "Share of time in which at least one task, or all, waited for memory.",
        )
        .query(Query::new(rate(ids::HOST_MEMORY_WAITING, HOST), "{instance}, some task"))
        .query(stalled)
        .shown(Shown::Ratio)
        .steps(PRESSURE_STEPS)
        .size(6, 8),
        Panel::graph(
            "OOM kills",
            "Processes killed for want of memory in each interval, in containers already gone too.",
        )
        .query(Query::new(metric(ids::HOST_OOM_KILLS).increase(Window::Interval).sum_by(HOST), "{instance}"))
        .shown(Shown::Plain)
        .steps(ANY_STEPS)
        .size(6, 8),
    ]
}

fn disk_panels(profile: Profile) -> Vec<Panel> {
    const DEVICE: &[&str] = &["job", "instance", "device"];
    vec![
        line_to_container(
            Panel::graph("Disk by container", "Read upwards, written downwards; the ten most.")
                .query(Query::new(
                    rate(ids::FS_READS_BYTES, CONTAINER).topk(10),
                    "{container_name} on {instance} reads",
                ))
                .query(
                    Query::new(
                        rate(ids::FS_WRITES_BYTES, CONTAINER).topk(10),
                        "{container_name} on {instance} writes",
                    )
                    .negative(),
                )
                .shown(Shown::BytesPerSecond)
                .size(16, 8),
            profile,
        ),
        Panel::graph(
            "Waiting for disks",
            "Share of time in which at least one task, or all, waited for I/O.",
        )
        .query(Query::new(rate(ids::HOST_IO_WAITING, HOST), "{instance}, some task"))
        .query(Query::new(rate(ids::HOST_IO_STALLED, HOST), "{instance}, all tasks"))
        .shown(Shown::Ratio)
        .steps(PRESSURE_STEPS)
        .size(8, 8),
        Panel::graph(
            "Space of writable layers",
            "What each container wrote into its own layer, as the last walk found it.",
        )
        .query(Query::new(sum(ids::FS_USAGE, CONTAINER), "{container_name} on {instance}"))
        .shown(Shown::Bytes),
        Panel::graph(
            "File systems under the layers",
            "What all writable layers on a device take together, and how large its file system is.",
        )
        .query(Query::new(sum(ids::FS_USAGE, DEVICE), "layers on {device} of {instance}"))
        .query(Query::new(max(ids::FS_LIMIT, DEVICE), "size of {device} of {instance}").limit())
        .shown(Shown::Bytes)
        .min(0.0),
    ]
}

fn network_panels(profile: Profile) -> Vec<Panel> {
    let errors = rate(ids::NETWORK_RECEIVE_ERRORS, HOST).plus(rate(ids::NETWORK_TRANSMIT_ERRORS, HOST));
    let drops = rate(ids::NETWORK_RECEIVE_DROPPED, HOST).plus(rate(ids::NETWORK_TRANSMIT_DROPPED, HOST));
    vec![
        line_to_container(
            Panel::graph("Network by container", "Received upwards, sent downwards; the ten most.")
                .query(Query::new(
                    rate(ids::NETWORK_RECEIVE_BYTES, CONTAINER).topk(10),
                    "{container_name} on {instance} receives",
                ))
                .query(
                    Query::new(
                        rate(ids::NETWORK_TRANSMIT_BYTES, CONTAINER).topk(10),
                        "{container_name} on {instance} sends",
                    )
                    .negative(),
                )
                .shown(Shown::BytesPerSecond)
                .size(16, 8),
            profile,
        ),
        Panel::graph("Network errors and drops", "Packets that containers lost, received and sent together.")
            .query(Query::new(errors, "errors of {instance}"))
            .query(Query::new(drops, "drops of {instance}"))
            .shown(Shown::PacketsPerSecond)
            .size(8, 8),
    ]
}

fn containers() -> Panel {
    let columns = &[("container_name", "Container"), ("instance", "Instance")];
    let panel = Panel::table("Containers of the host", "A click shows a container alone.", columns)
        .query(Query::column(cpu(CONTAINER), "CPU, cores", Shown::Short))
        .query(Query::column(memory(CONTAINER), "Memory", Shown::Bytes))
        .query(
            Query::column(memory(CONTAINER).per(memory_limit(CONTAINER)), "Of limit", Shown::Ratio)
                .steps(MEMORY_STEPS)
                .bar(1.0),
        )
        .query(Query::column(sum(ids::THREADS, CONTAINER), "Threads", Shown::Plain));
    row_to_container(panel).size(24, 14)
}
