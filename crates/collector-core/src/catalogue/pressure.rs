//! Group pressure: `*.pressure` of a container's cgroup (on hybrid hosts, of the `unified` mount).

use cgroup_reader::{At, PsiLine, SourceKey};
use metric_schema::{Alias, MetricDef, Unit};

use super::{Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::Pressure.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        PRESSURE_CPU_STALLED, PRESSURE_CPU_WAITING, PRESSURE_IO_STALLED, PRESSURE_IO_WAITING,
        PRESSURE_MEMORY_STALLED, PRESSURE_MEMORY_WAITING,
    };
}

const fn psi(file: &'static str, line: PsiLine) -> Source {
    Source::Key(SourceKey::same(At::psi(file, line)))
}

rows! { super::pids::END;
    PRESSURE_CPU_WAITING = Row::container(Group::Pressure,
        MetricDef::counter("container.pressure.cpu.waiting", Unit::Seconds, G, "Time in which at least one task waited for a CPU.")
            .aliased(cadvisor!("container_pressure_cpu_waiting_seconds_total")),
        psi("cpu.pressure", PsiLine::Some));
    PRESSURE_CPU_STALLED = Row::container(Group::Pressure,
        MetricDef::counter("container.pressure.cpu.stalled", Unit::Seconds, G, "Time in which every task waited for a CPU.")
            .aliased(cadvisor!("container_pressure_cpu_stalled_seconds_total")),
        psi("cpu.pressure", PsiLine::Full));
    PRESSURE_MEMORY_WAITING = Row::container(Group::Pressure,
        MetricDef::counter("container.pressure.memory.waiting", Unit::Seconds, G, "Time in which at least one task waited for memory.")
            .aliased(cadvisor!("container_pressure_memory_waiting_seconds_total")),
        psi("memory.pressure", PsiLine::Some));
    PRESSURE_MEMORY_STALLED = Row::container(Group::Pressure,
        MetricDef::counter("container.pressure.memory.stalled", Unit::Seconds, G, "Time in which every task waited for memory.")
            .aliased(cadvisor!("container_pressure_memory_stalled_seconds_total")),
        psi("memory.pressure", PsiLine::Full));
    PRESSURE_IO_WAITING = Row::container(Group::Pressure,
        MetricDef::counter("container.pressure.io.waiting", Unit::Seconds, G, "Time in which at least one task waited for I/O.")
            .aliased(cadvisor!("container_pressure_io_waiting_seconds_total")),
        psi("io.pressure", PsiLine::Some));
    PRESSURE_IO_STALLED = Row::container(Group::Pressure,
        MetricDef::counter("container.pressure.io.stalled", Unit::Seconds, G, "Time in which every task waited for I/O.")
            .aliased(cadvisor!("container_pressure_io_stalled_seconds_total")),
        psi("io.pressure", PsiLine::Full));
}
