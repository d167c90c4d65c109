//! Group processes: what a look into every process finds, and what the pids controller keeps beside its count.

use cgroup_reader::{At, Controller::Pids, Scale, SourceKey};
use metric_schema::{Alias, MetricDef, OtelMetric, Unit};

use super::{Row, Source, cpu::cadvisor, rows};
use crate::Group;

const G: &str = Group::Processes.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        CPU_SCHEDSTAT_RUN, CPU_SCHEDSTAT_RUN_PERIODS, CPU_SCHEDSTAT_RUNQUEUE, FILE_DESCRIPTORS,
        PIDS_EVENTS_MAX, PROCESSES, SOCKETS, TASKS_RUNNING, TASKS_SLEEPING, TASKS_STOPPED,
        TASKS_UNINTERRUPTIBLE, TASKS_ZOMBIE, THREADS_PEAK, ULIMIT_ADDRESS_SPACE, ULIMIT_CORE_FILE_SIZE,
        ULIMIT_CPU_TIME, ULIMIT_DATA_SIZE, ULIMIT_FILE_LOCKS, ULIMIT_FILE_SIZE, ULIMIT_LOCKED_MEMORY,
        ULIMIT_MSGQUEUE_SIZE, ULIMIT_NICE_PRIORITY, ULIMIT_OPEN_FILES, ULIMIT_PENDING_SIGNALS,
        ULIMIT_PROCESSES, ULIMIT_REALTIME_PRIORITY, ULIMIT_REALTIME_TIMEOUT, ULIMIT_RESIDENT_SET,
        ULIMIT_STACK_SIZE,
    };
}

const TASKS_HELP: &str =
    "Threads by what they are doing; a zombie has ended, and its parent has not asked how.";
const ULIMITS_HELP: &str =
    "Soft limits of the init process, in the kernel's units; absent where there is no limit.";

macro_rules! tasks {
    ($state:literal) => {
        Row::container(
            Group::Processes,
            MetricDef::up_down(
                concat!("container.tasks_state.", $state),
                Unit::Count("{thread}"),
                G,
                TASKS_HELP,
            )
            .named("container_tasks_state", "cAdvisor's name, one family for all states")
            .otel(
                OtelMetric::up_down("container.tasks_state", Unit::Count("{thread}"))
                    .with(&[("container.task.state", $state)]),
            )
            .with(&[("state", $state)])
            .aliased(cadvisor!("container_tasks_state")),
            Source::Sampler,
        )
    };
}

macro_rules! ulimit {
    ($name:literal) => {
        Row::container(
            Group::Processes,
            MetricDef::gauge(concat!("container.ulimits_soft.", $name), Unit::One, G, ULIMITS_HELP)
                .named("container_ulimits_soft", "cAdvisor's name, one family for all limits")
                .otel(
                    OtelMetric::gauge("container.ulimits_soft", Unit::One)
                        .with(&[("container.ulimit", $name)]),
                )
                .with(&[("ulimit", $name)])
                .aliased(cadvisor!("container_ulimits_soft")),
            Source::Sampler,
        )
    };
}

macro_rules! schedstat {
    ($name:literal, $unit:expr, $cadvisor:literal, $help:literal) => {
        Row::container(
            Group::Processes,
            MetricDef::counter($name, $unit, G, $help).aliased(cadvisor!($cadvisor)),
            Source::SamplerWatched,
        )
    };
}

rows! { super::cpu_detail::END;
    PROCESSES = Row::container(Group::Processes,
        MetricDef::up_down("container.processes", Unit::Count("{process}"), G,
            "Processes, as cgroup.procs lists them: without zombies.")
            .aliased(cadvisor!("container_processes")),
        Source::Sampler);
    FILE_DESCRIPTORS = Row::container(Group::Processes,
        MetricDef::up_down("container.file_descriptors", Unit::Count("{file_descriptor}"), G,
            "Open file descriptors of all processes.")
            .aliased(cadvisor!("container_file_descriptors")),
        Source::Sampler);
    SOCKETS = Row::container(Group::Processes,
        MetricDef::up_down("container.sockets", Unit::Count("{file_descriptor}"), G,
            "Open file descriptors that are sockets.")
            .aliased(cadvisor!("container_sockets")),
        Source::Sampler);
    TASKS_RUNNING = tasks!("running");
    TASKS_SLEEPING = tasks!("sleeping");
    TASKS_UNINTERRUPTIBLE = tasks!("uninterruptible");
    TASKS_STOPPED = tasks!("stopped");
    TASKS_ZOMBIE = tasks!("zombie");
    ULIMIT_CPU_TIME = ulimit!("max_cpu_time");
    ULIMIT_FILE_SIZE = ulimit!("max_file_size");
    ULIMIT_DATA_SIZE = ulimit!("max_data_size");
    ULIMIT_STACK_SIZE = ulimit!("max_stack_size");
    ULIMIT_CORE_FILE_SIZE = ulimit!("max_core_file_size");
    ULIMIT_RESIDENT_SET = ulimit!("max_resident_set");
    ULIMIT_PROCESSES = ulimit!("max_processes");
    ULIMIT_OPEN_FILES = ulimit!("max_open_files");
    ULIMIT_LOCKED_MEMORY = ulimit!("max_locked_memory");
    ULIMIT_ADDRESS_SPACE = ulimit!("max_address_space");
    ULIMIT_FILE_LOCKS = ulimit!("max_file_locks");
    ULIMIT_PENDING_SIGNALS = ulimit!("max_pending_signals");
    ULIMIT_MSGQUEUE_SIZE = ulimit!("max_msgqueue_size");
    ULIMIT_NICE_PRIORITY = ulimit!("max_nice_priority");
    ULIMIT_REALTIME_PRIORITY = ulimit!("max_realtime_priority");
    ULIMIT_REALTIME_TIMEOUT = ulimit!("max_realtime_timeout");
    THREADS_PEAK = Row::container(Group::Processes,
        MetricDef::up_down("container.threads_peak", Unit::Count("{thread}"), G,
            "The most threads and processes that there ever were in this run."),
        Source::Key(SourceKey::same(At::whole(Pids, "pids.peak", Scale::One))));
    PIDS_EVENTS_MAX = Row::container(Group::Processes,
        MetricDef::counter("container.pids_events.max", Unit::Count("{event}"), G,
            "Times that a fork was refused because the limit of threads and processes was reached."),
        Source::Key(SourceKey::same(At::key(Pids, "pids.events", "max", Scale::One))));
    CPU_SCHEDSTAT_RUN = schedstat!("container.cpu.schedstat_run", Unit::Seconds, "container_cpu_schedstat_run_seconds_total",
        "Time on a CPU of the threads whose waits container_cpu_schedstat_runqueue_seconds_total tells: less than the container's CPU time by what ended unseen.");
    CPU_SCHEDSTAT_RUNQUEUE = schedstat!("container.cpu.schedstat_runqueue", Unit::Seconds, "container_cpu_schedstat_runqueue_seconds_total",
        "Time that threads could run and waited for a CPU, counted from the first look on; without what a thread waited between the last look and its end.");
    CPU_SCHEDSTAT_RUN_PERIODS = schedstat!("container.cpu.schedstat_run_periods", Unit::Count("{period}"), "container_cpu_schedstat_run_periods_total",
        "Times that those threads got a CPU.");
}

/// Rows of soft limits by the kernel's word for them.
#[cfg(feature = "kernel")]
pub(crate) const ULIMITS: [(&str, super::RowId); 16] = [
    ("Max cpu time", ULIMIT_CPU_TIME),
    ("Max file size", ULIMIT_FILE_SIZE),
    ("Max data size", ULIMIT_DATA_SIZE),
    ("Max stack size", ULIMIT_STACK_SIZE),
    ("Max core file size", ULIMIT_CORE_FILE_SIZE),
    ("Max resident set", ULIMIT_RESIDENT_SET),
    ("Max processes", ULIMIT_PROCESSES),
    ("Max open files", ULIMIT_OPEN_FILES),
    ("Max locked memory", ULIMIT_LOCKED_MEMORY),
    ("Max address space", ULIMIT_ADDRESS_SPACE),
    ("Max file locks", ULIMIT_FILE_LOCKS),
    ("Max pending signals", ULIMIT_PENDING_SIGNALS),
    ("Max msgqueue size", ULIMIT_MSGQUEUE_SIZE),
    ("Max nice priority", ULIMIT_NICE_PRIORITY),
    ("Max realtime priority", ULIMIT_REALTIME_PRIORITY),
    ("Max realtime timeout", ULIMIT_REALTIME_TIMEOUT),
];
