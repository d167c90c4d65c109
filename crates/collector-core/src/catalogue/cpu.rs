//! Group cpu: `cpuacct.*`, `cpu.stat`, `cpu.max` and what is made of them.

use cgroup_reader::{
    At,
    Controller::{Cpu, Cpuacct, Cpuset},
    Field, Place, Scale, SourceKey,
};
use metric_schema::{Alias, Conversion, MetricDef, OtelMetric, Unit};

use super::{Row, Source, rows};
use crate::{Group, Reading};

const G: &str = Group::Cpu.as_str();

/// The constants of this file.
pub(super) mod ids {
    pub use super::{
        CPU_BURST, CPU_BURST_PERIODS, CPU_LIMIT, CPU_PERIODS, CPU_SHARES, CPU_SPEC_PERIOD, CPU_SPEC_QUOTA,
        CPU_SPEC_SHARES, CPU_SYSTEM, CPU_THROTTLED, CPU_THROTTLED_PERIODS, CPU_USAGE, CPU_USAGE_PERCENT,
        CPU_USER, CPU_WEIGHT, CPUSET_CPUS_OWN,
    };
}

/// cAdvisor uses this name, with no label more.
macro_rules! cadvisor {
    ($name:literal) => {
        cadvisor!($name, &[])
    };
    ($name:literal, $labels:expr) => {
        &[Alias { profile: "cadvisor", name: $name, labels: $labels }]
    };
}
pub(super) use cadvisor;

const fn stat(key: &'static str, v1: Scale, v2_key: &'static str, v2: Scale) -> Source {
    Source::Key(SourceKey::both(At::key(Cpu, "cpu.stat", key, v1), At::key(Cpu, "cpu.stat", v2_key, v2)))
}

/// How many CPUs or memory nodes a list of the cpuset names.
pub(super) const fn listed(v1: &'static str, v2: &'static str) -> Source {
    Source::Key(SourceKey::both(
        At::new(Place::Cgroup(Cpuset, v1), Field::CpuList, Scale::One),
        At::new(Place::Cgroup(Cpuset, v2), Field::CpuList, Scale::One),
    ))
}

rows! { super::state::END;
    CPU_USAGE = Row::container(Group::Cpu,
        MetricDef::counter("container.cpu.usage", Unit::Seconds, G, "CPU time used by all processes of the container.")
            .otel(OtelMetric::counter("container.cpu.time", Unit::Seconds).total().by_convention())
            .aliased(cadvisor!("container_cpu_usage_seconds_total", &[("cpu", "total")])),
        Source::Key(SourceKey::both(
            At::whole(Cpuacct, "cpuacct.usage", Scale::NanosOne),
            At::key(Cpu, "cpu.stat", "usage_usec", Scale::MicrosToNanos))));
    CPU_USER = Row::container(Group::Cpu,
        MetricDef::counter("container.cpu.user", Unit::Seconds, G, "CPU time used in user mode.")
            .otel(OtelMetric::counter("container.cpu.time", Unit::Seconds).with(&[("cpu.mode", "user")]).by_convention())
            .aliased(cadvisor!("container_cpu_user_seconds_total")),
        Source::Key(SourceKey::both(
            At::key(Cpuacct, "cpuacct.stat", "user", Scale::UserHzToNanos),
            At::key(Cpu, "cpu.stat", "user_usec", Scale::MicrosToNanos))));
    CPU_SYSTEM = Row::container(Group::Cpu,
        MetricDef::counter("container.cpu.system", Unit::Seconds, G, "CPU time used in kernel mode.")
            .otel(OtelMetric::counter("container.cpu.time", Unit::Seconds).with(&[("cpu.mode", "system")]).by_convention())
            .aliased(cadvisor!("container_cpu_system_seconds_total")),
        Source::Key(SourceKey::both(
            At::key(Cpuacct, "cpuacct.stat", "system", Scale::UserHzToNanos),
            At::key(Cpu, "cpu.stat", "system_usec", Scale::MicrosToNanos))));
    CPU_USAGE_PERCENT = Row::container(Group::Cpu,
        MetricDef::gauge("container.cpu.usage", Unit::Percent, G,
            "CPU use over the last interval, in percent of one core (250 is two and a half cores).")
            .otel(OtelMetric::gauge("container.cpu.usage", Unit::Cores).converted(Conversion::PerHundred).by_convention()),
        Source::Collector);
    CPUSET_CPUS_OWN = Row::input(Group::Cpu,
        MetricDef::gauge("container.own_cpuset.cpus", Unit::Count("{cpu}"), G,
            "CPUs that the container's own cpuset leaves to it (effective)."),
        listed("cpuset.effective_cpus", "cpuset.cpus.effective"));
    CPU_LIMIT = Row::container(Group::Cpu,
        MetricDef::gauge("container.cpu.limit", Unit::Cores, G,
            "CPUs that the container can use: the smallest of its quota, its ancestors' quotas, its cpuset and the host."),
        Source::Sampler);
    CPU_PERIODS = Row::container(Group::Cpu,
        MetricDef::counter("container.cpu.cfs.periods", Unit::Count("{period}"), G,
            "Enforcement periods of the CPU quota in which the container was runnable.")
            .aliased(cadvisor!("container_cpu_cfs_periods_total")),
        stat("nr_periods", Scale::One, "nr_periods", Scale::One));
    CPU_THROTTLED_PERIODS = Row::container(Group::Cpu,
        MetricDef::counter("container.cpu.cfs.throttled.periods", Unit::Count("{period}"), G,
            "Enforcement periods in which the container used up its CPU quota and was stopped.")
            .otel(OtelMetric::counter("container.cpu.throttling.periods", Unit::Count("{period}")))
            .aliased(cadvisor!("container_cpu_cfs_throttled_periods_total")),
        stat("nr_throttled", Scale::One, "nr_throttled", Scale::One));
    CPU_THROTTLED = Row::container(Group::Cpu,
        MetricDef::counter("container.cpu.cfs.throttled", Unit::Seconds, G,
            "Time for which the container was stopped by its CPU quota, summed over CPUs.")
            .otel(OtelMetric::counter("container.cpu.throttling.time", Unit::Seconds))
            .aliased(cadvisor!("container_cpu_cfs_throttled_seconds_total")),
        stat("throttled_time", Scale::NanosOne, "throttled_usec", Scale::MicrosToNanos));
    CPU_BURST_PERIODS = Row::container(Group::Cpu,
        MetricDef::counter("container.cpu.cfs.burst.periods", Unit::Count("{period}"), G,
            "Enforcement periods in which the container used time that it had saved.")
            .otel(OtelMetric::counter("container.cpu.burst.periods", Unit::Count("{period}")))
            .aliased(cadvisor!("container_cpu_cfs_burst_periods_total")),
        stat("nr_bursts", Scale::One, "nr_bursts", Scale::One));
    CPU_BURST = Row::container(Group::Cpu,
        MetricDef::counter("container.cpu.cfs.burst", Unit::Seconds, G,
            "CPU time used above the quota out of what was saved in earlier periods.")
            .otel(OtelMetric::counter("container.cpu.burst.time", Unit::Seconds))
            .aliased(cadvisor!("container_cpu_cfs_burst_seconds_total")),
        stat("burst_time", Scale::NanosOne, "burst_usec", Scale::MicrosToNanos));
    CPU_SHARES = Row::input(Group::Cpu,
        MetricDef::gauge("container.cpu.shares", Unit::One, G, "The kernel's relative weight on cgroup v1."),
        Source::Key(SourceKey::v1(At::whole(Cpu, "cpu.shares", Scale::One))));
    CPU_SPEC_SHARES = Row::container(Group::Cpu,
        MetricDef::gauge("container.spec.cpu.shares", Unit::One, G,
            "CPU shares: what the kernel holds on cgroup v1, what the engine was told (1024 if nothing) on v2.")
            .otel(OtelMetric::gauge("container.cpu.shares", Unit::One))
            .aliased(cadvisor!("container_spec_cpu_shares")),
        Source::Derived(|inputs| match inputs.sample.get(CPU_SHARES) {
            Reading::Absent(reason) => inputs.container.limits.cpu_shares.map_or(Reading::Absent(reason), Reading::int),
            read => read,
        }));
    CPU_WEIGHT = Row::container(Group::Cpu,
        MetricDef::gauge("container.cpu.weight", Unit::One, G, "The kernel's relative weight on cgroup v2, 1 to 10000."),
        Source::Key(SourceKey::v2(At::whole(Cpu, "cpu.weight", Scale::One))));
    CPU_SPEC_QUOTA = Row::container(Group::Cpu,
        MetricDef::gauge("container.spec.cpu.quota", Unit::Count("us"), G,
            "CPU time in microseconds that the container may use in each period; absent without a quota.")
            .otel(OtelMetric::gauge("container.cpu.cfs.quota", Unit::Seconds).converted(Conversion::PerMillion))
            .aliased(cadvisor!("container_spec_cpu_quota")),
        Source::Key(SourceKey::both(
            At::whole(Cpu, "cpu.cfs_quota_us", Scale::One),
            At::index(Cpu, "cpu.max", 0, Scale::One))));
    CPU_SPEC_PERIOD = Row::container(Group::Cpu,
        MetricDef::gauge("container.spec.cpu.period", Unit::Count("us"), G,
            "Length of the CPU quota's period in microseconds.")
            .otel(OtelMetric::gauge("container.cpu.cfs.period", Unit::Seconds).converted(Conversion::PerMillion))
            .aliased(cadvisor!("container_spec_cpu_period")),
        Source::Key(SourceKey::both(
            At::whole(Cpu, "cpu.cfs_period_us", Scale::One),
            At::index(Cpu, "cpu.max", 1, Scale::One))));
}
