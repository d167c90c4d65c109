//! Group cpu_detail: where the container may run, the burst that its quota allows, time that `cpu.stat` tells apart, and
//! pressure of interrupts.

use cgroup_reader::{At, Controller::Cpu, PsiLine, Scale, SourceKey};
use metric_schema::{MetricDef, Unit};

use super::{Row, Source, cpu::listed, rows};
use crate::Group;

const G: &str = Group::CpuDetail.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        CPU_BURST_LIMIT, CPU_FORCE_IDLE, CPU_IDLE, CPU_NICE, CPUSET_CPUS, CPUSET_MEMORY_NODES,
        PRESSURE_IRQ_STALLED,
    };
}

/// v1 does not tell it.
const fn stat_v2(key: &'static str) -> Source {
    Source::Key(SourceKey::v2(At::key(Cpu, "cpu.stat", key, Scale::MicrosToNanos)))
}

rows! { super::memory_detail::END;
    CPUSET_CPUS = Row::container(Group::CpuDetail,
        MetricDef::gauge("container.cpuset.cpus", Unit::Count("{cpu}"), G,
            "CPUs that the cpuset leaves to the container (effective), whatever its quota."),
        listed("cpuset.effective_cpus", "cpuset.cpus.effective"));
    CPUSET_MEMORY_NODES = Row::container(Group::CpuDetail,
        MetricDef::gauge("container.cpuset.memory_nodes", Unit::Count("{node}"), G,
            "Memory nodes that the cpuset leaves to the container (effective)."),
        listed("cpuset.effective_mems", "cpuset.mems.effective"));
    CPU_BURST_LIMIT = Row::container(Group::CpuDetail,
        MetricDef::gauge("container.cpu.burst_limit", Unit::Seconds, G,
            "CPU time that the container may save in periods below its quota and use above it later; 0 where it may not."),
        Source::Key(SourceKey::both(
            At::whole(Cpu, "cpu.cfs_burst_us", Scale::MicrosToNanos),
            At::whole(Cpu, "cpu.max.burst", Scale::MicrosToNanos))));
    CPU_IDLE = Row::container(Group::CpuDetail,
        MetricDef::gauge("container.cpu.idle", Unit::One, G,
            "1 where the container runs only when nothing else wants the CPU (cpu.idle), else 0."),
        Source::Key(SourceKey::same(At::whole(Cpu, "cpu.idle", Scale::One))));
    CPU_NICE = Row::container(Group::CpuDetail,
        MetricDef::counter("container.cpu.nice", Unit::Seconds, G,
            "CPU time of processes of low priority; part of the time in user mode."),
        stat_v2("nice_usec"));
    CPU_FORCE_IDLE = Row::container(Group::CpuDetail,
        MetricDef::counter("container.cpu.force_idle", Unit::Seconds, G,
            "CPU time that sibling threads of a core stood idle because nothing else may share it with the container (core scheduling)."),
        stat_v2("core_sched.force_idle_usec"));
    PRESSURE_IRQ_STALLED = Row::container(Group::CpuDetail,
        MetricDef::counter("container.pressure.irq.stalled", Unit::Seconds, G,
            "Time that interrupts took from the container's tasks."),
        Source::Key(SourceKey::same(At::psi("irq.pressure", PsiLine::Full))));
}
