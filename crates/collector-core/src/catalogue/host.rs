//! Group host: the machine, its pressure, and what is counted over all containers, those that are gone included.

use cgroup_reader::{At, Field, PsiLine, Scale, SourceKey};
use metric_schema::{Alias, Attribute, MetricDef, OtelMetric, Unit, Values};

use super::{Dimension, Entity, Row, Source, cpu::cadvisor, rows, state::STATE};
use crate::Group;

const G: &str = Group::Host.as_str();

/// How a run ended: the values of the label `outcome`.
pub const OUTCOMES: &[&str] = &["success", "error", "signal", "oom", "unknown"];

const OUTCOME: &[Attribute] =
    &[Attribute::new("outcome", Values::Closed(OUTCOMES)).otel("container.run.outcome")];
const MACHINE_IDS: &[Attribute] = &[
    Attribute::new("boot_id", Values::Capped(1)).on_pages_only(),
    Attribute::new("machine_id", Values::Capped(1)).on_pages_only(),
    Attribute::new("system_uuid", Values::Capped(1)).on_pages_only(),
];
const VERSIONS: &[Attribute] = &[
    Attribute::new("kernelVersion", Values::Capped(1)),
    Attribute::new("osVersion", Values::Capped(1)),
    Attribute::new("dockerVersion", Values::Capped(1)),
    Attribute::new("cadvisorVersion", Values::Capped(1)),
    Attribute::new("cadvisorRevision", Values::Capped(1)),
];
const MACHINE: Source = Source::SamplerTable(Dimension::Machine);

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        CADVISOR_VERSION, CONTAINER_COUNT, HOST_CPU_STALLED, HOST_CPU_USAGE, HOST_CPU_WAITING, HOST_EXITS,
        HOST_IO_STALLED, HOST_IO_WAITING, HOST_MEMORY_STALLED, HOST_MEMORY_WAITING, HOST_OOM_KILLS,
        MACHINE_CORES, MACHINE_MEMORY, MACHINE_PHYSICAL_CORES, MACHINE_SOCKETS, MACHINE_SWAP, OUTCOMES,
        SCRAPE_ERROR,
    };
}

const fn psi(file: &'static str, line: PsiLine) -> Source {
    Source::Key(SourceKey::same(At::system(file, Field::Psi(line), Scale::MicrosToNanos)))
}

rows! { super::gpu::END;
    CONTAINER_COUNT = Row::host(
        MetricDef::up_down("container.count", Unit::Count("{container}"), G, "Containers by state; systemd units are none.").by(STATE),
        Source::CollectorTable(Dimension::State));
    HOST_EXITS = Row::host(
        MetricDef::counter("host.containers.exits", Unit::Count("{run}"), G,
            "Runs of containers (not of systemd units) that ended while the exporter watched, by outcome: exit code 0, another, a signal, an OOM kill, not known.")
            .by(OUTCOME),
        Source::CollectorTable(Dimension::Outcome));
    HOST_OOM_KILLS = Row::host(
        MetricDef::counter("host.containers.oom_kills", Unit::Count("{process}"), G,
            "Processes of containers (not of systemd units) killed for want of memory while the exporter watched, in containers already gone too."),
        Source::Collector);
    HOST_CPU_USAGE = Row::host(
        MetricDef::counter("host.containers.cpu.usage", Unit::Seconds, G,
            "CPU time used by containers (not by systemd units) while the exporter watched, by those already gone too."),
        Source::Collector);
    HOST_CPU_WAITING = Row::host(
        MetricDef::counter("host.pressure.cpu.waiting", Unit::Seconds, G, "Time in which at least one task of the host waited for a CPU."),
        psi("pressure/cpu", PsiLine::Some));
    HOST_CPU_STALLED = Row::host(
        MetricDef::counter("host.pressure.cpu.stalled", Unit::Seconds, G, "Time in which every task of the host waited for a CPU."),
        psi("pressure/cpu", PsiLine::Full));
    HOST_MEMORY_WAITING = Row::host(
        MetricDef::counter("host.pressure.memory.waiting", Unit::Seconds, G, "Time in which at least one task of the host waited for memory."),
        psi("pressure/memory", PsiLine::Some));
    HOST_MEMORY_STALLED = Row::host(
        MetricDef::counter("host.pressure.memory.stalled", Unit::Seconds, G, "Time in which every task of the host waited for memory."),
        psi("pressure/memory", PsiLine::Full));
    HOST_IO_WAITING = Row::host(
        MetricDef::counter("host.pressure.io.waiting", Unit::Seconds, G, "Time in which at least one task of the host waited for I/O."),
        psi("pressure/io", PsiLine::Some));
    HOST_IO_STALLED = Row::host(
        MetricDef::counter("host.pressure.io.stalled", Unit::Seconds, G, "Time in which every task of the host waited for I/O."),
        psi("pressure/io", PsiLine::Full));
    MACHINE_CORES = Row::host(
        MetricDef::up_down("machine.cpu_cores", Unit::Count("{cpu}"), G, "Logical CPUs that are online.")
            .otel(OtelMetric::up_down("system.cpu.logical.count", Unit::Cores).by_convention())
            .by(MACHINE_IDS).aliased(cadvisor!("machine_cpu_cores")),
        MACHINE);
    MACHINE_PHYSICAL_CORES = Row::host(
        MetricDef::up_down("machine.cpu_physical_cores", Unit::Count("{cpu}"), G, "Physical CPU cores.")
            .otel(OtelMetric::up_down("system.cpu.physical.count", Unit::Cores).by_convention())
            .by(MACHINE_IDS).aliased(cadvisor!("machine_cpu_physical_cores")),
        MACHINE);
    MACHINE_SOCKETS = Row::host(
        MetricDef::up_down("machine.cpu_sockets", Unit::Count("{socket}"), G, "CPU sockets.")
            .by(MACHINE_IDS).aliased(cadvisor!("machine_cpu_sockets")),
        MACHINE);
    MACHINE_MEMORY = Row::host(
        MetricDef::up_down("machine.memory", Unit::Bytes, G, "Memory of the machine.")
            .otel(OtelMetric::up_down("system.memory.limit", Unit::Bytes).by_convention())
            .by(MACHINE_IDS).aliased(cadvisor!("machine_memory_bytes")),
        MACHINE);
    MACHINE_SWAP = Row::host(
        MetricDef::up_down("machine.swap", Unit::Bytes, G, "Swap space of the machine.")
            .by(MACHINE_IDS).aliased(cadvisor!("machine_swap_bytes")),
        MACHINE);
    SCRAPE_ERROR = Row::host(
        MetricDef::gauge("container.scrape_error", Unit::One, G, "1 if a container's numbers could not be collected in time, else 0.")
            .aliased(cadvisor!("container_scrape_error"))
            .only_aliased("container_exporter_metric_absent says more"),
        Source::Collector);
    CADVISOR_VERSION = Row::new(Group::Host, Entity::Exporter,
        MetricDef::gauge("cadvisor.version_info", Unit::One, G, "Versions of kernel, operating system, engine and this exporter, as labels.")
            .by(VERSIONS).aliased(cadvisor!("cadvisor_version_info"))
            .only_aliased("container_exporter_build_info and container_exporter_engine_info say it"),
        Source::CollectorTable(Dimension::Versions));
}
