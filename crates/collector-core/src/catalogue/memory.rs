//! Group memory: `memory.*` and what is made of it.

use cgroup_reader::{At, Controller::Memory, Scale, SourceKey};
use metric_schema::{Alias, Conversion, MetricDef, OtelMetric, Unit};

use super::{Inputs, Row, RowId, Source, cpu::cadvisor, rows};
use crate::{Absence, Group, Reading, Value, effective};

const G: &str = Group::Memory.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        MEMORY_ACTIVE_FILE, MEMORY_AVAILABLE, MEMORY_CACHE, MEMORY_DIRTY, MEMORY_EVENTS_HIGH,
        MEMORY_EVENTS_LOW, MEMORY_EVENTS_MAX, MEMORY_EVENTS_OOM, MEMORY_EVENTS_OOM_GROUP_KILL,
        MEMORY_EVENTS_OOM_KILL, MEMORY_FAILCNT, MEMORY_INACTIVE_FILE, MEMORY_KERNEL, MEMORY_LIMIT,
        MEMORY_LIMIT_OWN, MEMORY_MAPPED_FILE, MEMORY_MAX_USAGE, MEMORY_MEMSW_LIMIT_OWN, MEMORY_MINOR_FAULTS,
        MEMORY_PGFAULT, MEMORY_PGFAULT_HIERARCHY, MEMORY_PGMAJFAULT, MEMORY_PGMAJFAULT_HIERARCHY,
        MEMORY_PGSCAN, MEMORY_PGSTEAL, MEMORY_REFAULT_ANON, MEMORY_REFAULT_FILE, MEMORY_RESERVATION_OWN,
        MEMORY_RSS, MEMORY_SOFT_LIMIT_OWN, MEMORY_SPEC_LIMIT, MEMORY_SPEC_RESERVATION,
        MEMORY_SPEC_SWAP_LIMIT, MEMORY_SWAP, MEMORY_SWAP_LIMIT_OWN, MEMORY_USAGE, MEMORY_USAGE_PERCENT,
        MEMORY_WORKING_SET, MEMORY_WRITEBACK,
    };
}

const fn stat(v1: &'static str, v2: &'static str) -> Source {
    Source::Key(SourceKey::both(
        At::key(Memory, "memory.stat", v1, Scale::One),
        At::key(Memory, "memory.stat", v2, Scale::One),
    ))
}

const fn event(key: &'static str) -> At {
    At::key(Memory, "memory.events", key, Scale::One)
}

const fn whole(file: &'static str) -> At {
    At::whole(Memory, file, Scale::One)
}

/// A configured limit: 0 where there is none, as cAdvisor has it.
fn zero_if_none(inputs: &Inputs<'_>, row: RowId) -> Reading {
    match inputs.sample.get(row) {
        Reading::Max => Reading::int(0),
        other => other,
    }
}

/// Memory and swap together: v1 has one file for it, v2 the two parts.
fn memory_and_swap(inputs: &Inputs<'_>) -> Reading {
    let swap = inputs.sample.get(MEMORY_SWAP_LIMIT_OWN);
    match (inputs.sample.get(MEMORY_MEMSW_LIMIT_OWN), inputs.sample.get(MEMORY_LIMIT_OWN), swap) {
        (Reading::Max, ..) => Reading::int(0),
        (together @ Reading::Value(_), ..) => together,
        (_, Reading::Max, Reading::Value(_) | Reading::Max) | (_, Reading::Value(_), Reading::Max) => {
            Reading::int(0)
        }
        (_, Reading::Value(Value::Int(memory)), Reading::Value(Value::Int(swap))) => {
            Reading::int(memory.saturating_add(swap))
        }
        // Which of the files is missed depends on the version.
        (Reading::Absent(reason), ..) if reason != Absence::NoSourceOnVersion => Reading::Absent(reason),
        (_, memory @ Reading::Absent(_), _) => memory,
        _ => swap,
    }
}

/// On v1 the largest soft limit means that nothing is reserved, on v2 `max` means that everything is, which no number says.
fn reservation(inputs: &Inputs<'_>) -> Reading {
    let low = inputs.sample.get(MEMORY_RESERVATION_OWN);
    match (inputs.sample.get(MEMORY_SOFT_LIMIT_OWN), low) {
        (Reading::Max, _) => Reading::int(0),
        (soft @ Reading::Absent(_), Reading::Absent(Absence::NoSourceOnVersion)) => soft,
        (Reading::Absent(_), low) => low,
        (soft, _) => soft,
    }
}

fn working_set(inputs: &Inputs<'_>) -> Reading {
    let usage = inputs.sample.get(MEMORY_USAGE);
    let inactive = inputs.sample.get(MEMORY_INACTIVE_FILE);
    match (usage.as_u64(), inactive.as_u64()) {
        (Some(usage), Some(inactive)) => Reading::int(effective::working_set(usage, inactive)),
        (None, _) => usage,
        (_, None) => inactive,
    }
}

fn usage_percent(inputs: &Inputs<'_>) -> Reading {
    let limit = inputs.sample.get(MEMORY_LIMIT);
    match (working_set(inputs), limit.as_u64()) {
        (Reading::Value(Value::Int(used)), Some(limit)) => {
            Reading::float(effective::percent_of_limit(used, effective::Limit::Value(limit)))
        }
        (Reading::Absent(reason), _) => Reading::Absent(reason),
        _ => limit,
    }
}

/// The effective limit less the working set: as the semantic conventions have it, nothing without a limit.
fn available(inputs: &Inputs<'_>) -> Reading {
    if inputs.sample.get(MEMORY_LIMIT_OWN) == Reading::Max {
        return Reading::Max;
    }
    let limit = inputs.sample.get(MEMORY_LIMIT);
    match (limit.as_u64(), working_set(inputs)) {
        (Some(limit), Reading::Value(Value::Int(used))) => Reading::int(limit.saturating_sub(used)),
        (None, _) => limit,
        (_, used) => used,
    }
}

/// All faults less those that had to read from disk.
fn minor_faults(inputs: &Inputs<'_>) -> Reading {
    let all = inputs.sample.get(MEMORY_PGFAULT_HIERARCHY);
    let major = inputs.sample.get(MEMORY_PGMAJFAULT_HIERARCHY);
    match (all.as_u64(), major.as_u64()) {
        (Some(all), Some(major)) => Reading::int(all.saturating_sub(major)),
        (None, _) => all,
        (_, None) => major,
    }
}

rows! { super::cpu::END;
    MEMORY_USAGE = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.usage", Unit::Bytes, G,
            "Memory in use, page cache and kernel memory included.")
            .otel(OtelMetric::up_down("container.memory.usage", Unit::Bytes).by_convention())
            .aliased(cadvisor!("container_memory_usage_bytes")),
        Source::Key(SourceKey::both(whole("memory.usage_in_bytes"), whole("memory.current"))));
    MEMORY_WORKING_SET = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.working_set", Unit::Bytes, G,
            "Memory in use less the file pages that can be dropped at once (inactive_file).")
            .otel(OtelMetric::up_down("container.memory.working_set", Unit::Bytes).by_convention())
            .aliased(cadvisor!("container_memory_working_set_bytes")),
        Source::Derived(working_set));
    MEMORY_AVAILABLE = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.available", Unit::Bytes, G,
            "What the limit leaves over the working set; absent where the container has no limit of its own.")
            .otel(OtelMetric::up_down("container.memory.available", Unit::Bytes).by_convention())
            .only_aliased("container_memory_limit_bytes less container_memory_working_set_bytes"),
        Source::Derived(available));
    MEMORY_RSS = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.rss", Unit::Bytes, G, "Anonymous memory: heap, stack, private mappings.")
            .otel(OtelMetric::up_down("container.memory.rss", Unit::Bytes).by_convention())
            .named("container_memory_rss", "cAdvisor's name").aliased(cadvisor!("container_memory_rss")),
        stat("total_rss", "anon"));
    MEMORY_CACHE = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.cache", Unit::Bytes, G, "Page cache, tmpfs and shared memory included.")
            .named("container_memory_cache", "cAdvisor's name").aliased(cadvisor!("container_memory_cache")),
        stat("total_cache", "file"));
    MEMORY_MAPPED_FILE = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.mapped_file", Unit::Bytes, G, "Files mapped into memory.")
            .named("container_memory_mapped_file", "cAdvisor's name").aliased(cadvisor!("container_memory_mapped_file")),
        stat("total_mapped_file", "file_mapped"));
    MEMORY_KERNEL = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.kernel_usage", Unit::Bytes, G, "Memory that the kernel holds for the container.")
            .named("container_memory_kernel_usage", "cAdvisor's name").aliased(cadvisor!("container_memory_kernel_usage")),
        Source::Key(SourceKey::both(whole("memory.kmem.usage_in_bytes"),
            At::key(Memory, "memory.stat", "kernel", Scale::One))));
    MEMORY_SWAP = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.swap", Unit::Bytes, G, "Swap space in use.")
            .named("container_memory_swap", "cAdvisor's name").aliased(cadvisor!("container_memory_swap")),
        Source::Key(SourceKey::both(At::key(Memory, "memory.stat", "total_swap", Scale::One),
            whole("memory.swap.current"))));
    MEMORY_MAX_USAGE = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.max_usage", Unit::Bytes, G, "The most memory that was ever in use in this run.")
            .aliased(cadvisor!("container_memory_max_usage_bytes")),
        Source::Key(SourceKey::both(whole("memory.max_usage_in_bytes"), whole("memory.peak"))));
    MEMORY_ACTIVE_FILE = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.total_active_file", Unit::Bytes, G, "Page cache that was used of late.")
            .otel(OtelMetric::up_down("container.memory.active_file", Unit::Bytes))
            .aliased(cadvisor!("container_memory_total_active_file_bytes")),
        stat("total_active_file", "active_file"));
    MEMORY_INACTIVE_FILE = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.total_inactive_file", Unit::Bytes, G, "Page cache that can be dropped first.")
            .otel(OtelMetric::up_down("container.memory.inactive_file", Unit::Bytes))
            .aliased(cadvisor!("container_memory_total_inactive_file_bytes")),
        stat("total_inactive_file", "inactive_file"));
    MEMORY_DIRTY = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.file_dirty", Unit::Bytes, G, "Page cache that waits to be written to disk.")
            .aliased(cadvisor!("container_memory_file_dirty_bytes")),
        stat("total_dirty", "file_dirty"));
    MEMORY_WRITEBACK = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.file_writeback", Unit::Bytes, G, "Page cache that is being written to disk.")
            .aliased(cadvisor!("container_memory_file_writeback_bytes")),
        stat("total_writeback", "file_writeback"));
    MEMORY_LIMIT = Row::container(Group::Memory,
        MetricDef::up_down("container.memory.limit", Unit::Bytes, G,
            "Memory that the container can use: the smallest of its own limit, its ancestors' limits and the host's memory."),
        Source::Sampler);
    MEMORY_USAGE_PERCENT = Row::container(Group::Memory,
        MetricDef::gauge("container.memory.usage", Unit::Percent, G,
            "Working set in percent of the effective limit (container_memory_limit_bytes).")
            .otel(OtelMetric::gauge("container.memory.utilization", Unit::One).converted(Conversion::PerHundred)),
        Source::Derived(usage_percent));
    MEMORY_LIMIT_OWN = Row::input(Group::Memory,
        MetricDef::up_down("container.memory.own_limit", Unit::Bytes, G, "The kernel's own limit."),
        Source::Key(SourceKey::both(whole("memory.limit_in_bytes"), whole("memory.max"))));
    MEMORY_SPEC_LIMIT = Row::container(Group::Memory,
        MetricDef::up_down("container.spec.memory.limit", Unit::Bytes, G, "Memory limit set on the container; 0 is none.")
            .otel(OtelMetric::up_down("container.spec.memory.limit", Unit::Bytes).converted(Conversion::UnlessZero))
            .aliased(cadvisor!("container_spec_memory_limit_bytes")),
        Source::Derived(|inputs| zero_if_none(inputs, MEMORY_LIMIT_OWN)));
    MEMORY_MEMSW_LIMIT_OWN = Row::input(Group::Memory,
        MetricDef::up_down("container.memory.own_memsw_limit", Unit::Bytes, G, "The kernel's limit of memory and swap on v1."),
        Source::Key(SourceKey::v1(whole("memory.memsw.limit_in_bytes"))));
    MEMORY_SWAP_LIMIT_OWN = Row::input(Group::Memory,
        MetricDef::up_down("container.memory.own_swap_limit", Unit::Bytes, G, "The kernel's limit of swap on v2."),
        Source::Key(SourceKey::v2(whole("memory.swap.max"))));
    MEMORY_SPEC_SWAP_LIMIT = Row::container(Group::Memory,
        MetricDef::up_down("container.spec.memory.swap_limit", Unit::Bytes, G,
            "Limit of memory and swap together; 0 is none.")
            .otel(OtelMetric::up_down("container.spec.memory.swap_limit", Unit::Bytes).converted(Conversion::UnlessZero))
            .aliased(cadvisor!("container_spec_memory_swap_limit_bytes")),
        Source::Derived(memory_and_swap));
    MEMORY_SOFT_LIMIT_OWN = Row::input(Group::Memory,
        MetricDef::up_down("container.memory.own_soft_limit", Unit::Bytes, G, "The kernel's soft limit on v1."),
        Source::Key(SourceKey::v1(whole("memory.soft_limit_in_bytes"))));
    MEMORY_RESERVATION_OWN = Row::input(Group::Memory,
        MetricDef::up_down("container.memory.own_reservation", Unit::Bytes, G, "The kernel's low protection on v2."),
        Source::Key(SourceKey::v2(whole("memory.low"))));
    MEMORY_SPEC_RESERVATION = Row::container(Group::Memory,
        MetricDef::up_down("container.spec.memory.reservation_limit", Unit::Bytes, G,
            "Memory reserved for the container (memory.low, soft limit); 0 is none.")
            .otel(OtelMetric::up_down("container.spec.memory.reservation", Unit::Bytes).converted(Conversion::UnlessZero))
            .aliased(cadvisor!("container_spec_memory_reservation_limit_bytes")),
        Source::Derived(reservation));
    MEMORY_FAILCNT = Row::container(Group::Memory,
        MetricDef::counter("container.memory.failcnt", Unit::Count("{hit}"), G, "Times that use hit the limit.")
            .not_otlp("the same count as container.memory.events.max")
            .named("container_memory_failcnt", "cAdvisor's name").aliased(cadvisor!("container_memory_failcnt")),
        Source::Key(SourceKey::both(whole("memory.failcnt"), event("max"))));
    MEMORY_PGFAULT = Row::container(Group::Memory,
        MetricDef::counter("container.memory.failures.pgfault.container", Unit::Count("{fault}"), G, FAILURES_HELP)
            .not_otlp("container.paging.faults counts all below the container")
            .named("container_memory_failures_total", "cAdvisor's name, one family for four counts")
            .with(&[("failure_type", "pgfault"), ("scope", "container")])
            .aliased(cadvisor!("container_memory_failures_total")),
        stat("pgfault", "pgfault"));
    MEMORY_PGMAJFAULT = Row::container(Group::Memory,
        MetricDef::counter("container.memory.failures.pgmajfault.container", Unit::Count("{fault}"), G, FAILURES_HELP)
            .not_otlp("container.paging.faults counts all below the container")
            .named("container_memory_failures_total", "cAdvisor's name, one family for four counts")
            .with(&[("failure_type", "pgmajfault"), ("scope", "container")])
            .aliased(cadvisor!("container_memory_failures_total")),
        stat("pgmajfault", "pgmajfault"));
    MEMORY_PGFAULT_HIERARCHY = Row::container(Group::Memory,
        MetricDef::counter("container.memory.failures.pgfault.hierarchy", Unit::Count("{fault}"), G, FAILURES_HELP)
            .not_otlp("the sum over container.paging.faults")
            .named("container_memory_failures_total", "cAdvisor's name, one family for four counts")
            .with(&[("failure_type", "pgfault"), ("scope", "hierarchy")])
            .aliased(cadvisor!("container_memory_failures_total")),
        stat("total_pgfault", "pgfault"));
    MEMORY_PGMAJFAULT_HIERARCHY = Row::container(Group::Memory,
        MetricDef::counter("container.memory.failures.pgmajfault.hierarchy", Unit::Count("{fault}"), G, FAILURES_HELP)
            .otel(OtelMetric::counter("container.paging.faults", Unit::Count("{fault}")).with(&[("system.paging.fault.type", "major")]).by_convention())
            .named("container_memory_failures_total", "cAdvisor's name, one family for four counts")
            .with(&[("failure_type", "pgmajfault"), ("scope", "hierarchy")])
            .aliased(cadvisor!("container_memory_failures_total")),
        stat("total_pgmajfault", "pgmajfault"));
    MEMORY_MINOR_FAULTS = Row::container(Group::Memory,
        MetricDef::counter("container.memory.minor_faults", Unit::Count("{fault}"), G, "Page faults that needed no disk.")
            .otel(OtelMetric::counter("container.paging.faults", Unit::Count("{fault}"))
                .with(&[("system.paging.fault.type", "minor")]).by_convention())
            .only_aliased("container_memory_failures_total tells it: pgfault less pgmajfault"),
        Source::Derived(minor_faults));
    MEMORY_EVENTS_LOW = Row::container(Group::Memory,
        MetricDef::counter("container.memory.events.low", Unit::Count("{event}"), G,
            "Times that memory was taken although use was below the low boundary.")
            .aliased(cadvisor!("container_memory_events_low_total")),
        Source::Key(SourceKey::v2(event("low"))));
    MEMORY_EVENTS_HIGH = Row::container(Group::Memory,
        MetricDef::counter("container.memory.events.high", Unit::Count("{event}"), G,
            "Times that processes were slowed because use was above the high boundary.")
            .aliased(cadvisor!("container_memory_events_high_total")),
        Source::Key(SourceKey::v2(event("high"))));
    MEMORY_EVENTS_MAX = Row::container(Group::Memory,
        MetricDef::counter("container.memory.events.max", Unit::Count("{event}"), G,
            "Times that use was about to go over the limit.")
            .aliased(cadvisor!("container_memory_events_max_total")),
        Source::Key(SourceKey::both(whole("memory.failcnt"), event("max"))));
    MEMORY_EVENTS_OOM = Row::container(Group::Memory,
        MetricDef::counter("container.memory.events.oom", Unit::Count("{event}"), G,
            "Times that an allocation was about to fail for want of memory.")
            .aliased(cadvisor!("container_memory_events_oom_total")),
        Source::Key(SourceKey::v2(event("oom"))));
    MEMORY_EVENTS_OOM_KILL = Row::container(Group::Memory,
        MetricDef::counter("container.memory.events.oom_kill", Unit::Count("{process}"), G,
            "Processes killed for want of memory in this run: the kernel's own count.")
            .aliased(cadvisor!("container_memory_events_oom_kill_total")),
        Source::Key(SourceKey::both(At::key(Memory, "memory.oom_control", "oom_kill", Scale::One), event("oom_kill"))));
    MEMORY_EVENTS_OOM_GROUP_KILL = Row::container(Group::Memory,
        MetricDef::counter("container.memory.events.oom_group_kill", Unit::Count("{event}"), G,
            "Times that the whole container was killed for want of memory.")
            .aliased(cadvisor!("container_memory_events_oom_group_kill_total")),
        Source::Key(SourceKey::v2(event("oom_group_kill"))));
    MEMORY_PGSCAN = Row::container(Group::Memory,
        MetricDef::counter("container.memory.pgscan", Unit::Count("{page}"), G, "Pages looked at to free memory.")
            .aliased(cadvisor!("container_memory_pgscan_total")),
        Source::Key(SourceKey::v2(At::key(Memory, "memory.stat", "pgscan", Scale::One))));
    MEMORY_PGSTEAL = Row::container(Group::Memory,
        MetricDef::counter("container.memory.pgsteal", Unit::Count("{page}"), G, "Pages freed under pressure.")
            .aliased(cadvisor!("container_memory_pgsteal_total")),
        Source::Key(SourceKey::v2(At::key(Memory, "memory.stat", "pgsteal", Scale::One))));
    MEMORY_REFAULT_FILE = Row::container(Group::Memory,
        MetricDef::counter("container.memory.workingset_refault_file", Unit::Count("{page}"), G,
            "File pages read again soon after they were dropped.")
            .aliased(cadvisor!("container_memory_workingset_refault_file_total")),
        stat("total_workingset_refault_file", "workingset_refault_file"));
    MEMORY_REFAULT_ANON = Row::container(Group::Memory,
        MetricDef::counter("container.memory.workingset_refault_anon", Unit::Count("{page}"), G,
            "Anonymous pages swapped in soon after they were swapped out.")
            .aliased(cadvisor!("container_memory_workingset_refault_anon_total")),
        stat("total_workingset_refault_anon", "workingset_refault_anon"));
}

const FAILURES_HELP: &str = "Page faults (pgfault) and those that had to read from disk (pgmajfault).";
