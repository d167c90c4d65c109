//! A container wants more CPU than it gets.

use collector_core::catalogue::ids;
use mixin::{About, Alert, Runbook, Setting, Signal, Step, Trial, above, below};

use super::{FIND, ON_CONTAINER, RATE_MINUTES, by_minute, now, rate, select};

pub(super) fn alerts() -> Vec<Alert> {
    vec![throttled(), pressure()]
}

fn throttled() -> Alert {
    /// Periods of 100 ms in a minute, nearly, so that shares of them are exact.
    const PERIODS: f64 = 512.0;
    Alert::new(
        "CpuThrottled",
        |chosen| rate(ids::CPU_THROTTLED_PERIODS).per(rate(ids::CPU_PERIODS)).gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "In more than half of its enforcement periods (100 ms each, unless set otherwise) the container used up its CPU quota and \
             was stopped until the next period, for a quarter of an hour. Its average use can be far below the quota: a few \
             threads that run at once use up a period's share in a few milliseconds.",
            "Requests that fall into a stop wait for its end: response times grow by tens of milliseconds, the slowest first. \
             Nothing else on the host suffers.",
            &[
                FIND,
                Step::Shell("How often it was stopped since its start (`nr_throttled` of `nr_periods`), and for how long.", "cgroup cpu.stat"),
                Step::Shell(
                    "The quota: microseconds of CPU in each period (v2: `cpu.max`; v1: `cpu.cfs_quota_us` of `cpu.cfs_period_us`).",
                    "cgroup cpu.max; cgroup cpu.cfs_quota_us; cgroup cpu.cfs_period_us",
                ),
                Step::Shell("What inside it runs.", r#"docker top "$C" -eo pid,pcpu,nlwp,args"#),
                Step::Query("How many cores it uses on the average.", || rate(ids::CPU_USAGE)),
                Step::Query("How many it may use.", || now(ids::CPU_LIMIT)),
                Step::Query("For how many seconds of each second its threads were stopped, summed over them.", || rate(ids::CPU_THROTTLED)),
            ],
            &[
                "Give it more: `docker update --cpus 2 \"$C\"` works at once; then change its Compose file or unit as well.",
                "Where its average use is low, make it run fewer threads at once: most runtimes size their pools by the host's cores, \
                 not by the quota (`GOMAXPROCS`, `-XX:ActiveProcessorCount`, `TOKIO_WORKER_THREADS`, workers of a web server).",
                "Allow it to save up time for bursts, on Linux 5.14 or newer: write microseconds into `cpu.max.burst`.",
                "A batch job that may take its time: raise `alert.CpuThrottled.threshold`, or silence it by its name.",
            ],
        ),
        |chosen| {
            let share = |share: f64| share * PERIODS;
            let t = chosen.threshold();
            Trial::new(
                About::Container,
                above(t),
                vec![
                    Signal::counter(select(ids::CPU_THROTTLED_PERIODS), share(below(t)), share(above(t))),
                    Signal::counter(select(ids::CPU_PERIODS), PERIODS, PERIODS).divides(),
                ],
            )
            .settles_after_minutes(RATE_MINUTES)
        },
    )
    .says(
        "A container is stopped by its CPU quota most of the time.",
        "Container {container_name} on {instance} used up its CPU quota in {value:percent} of its periods and waited for the next one.",
    )
    .setting(Setting::threshold(0.5, "share of the enforcement periods"))
    .wait_minutes(15)
}

fn pressure() -> Alert {
    Alert::new(
        "CpuPressure",
        |chosen| rate(ids::PRESSURE_CPU_WAITING).gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "For more than 40 % of the time at least one task of the container was ready to run and had no CPU, for a quarter of an hour: \
             by its own quota, or because others on the host were served first.",
            "What the container does takes longer, and unevenly so.",
            &[
                FIND,
                Step::Shell("The kernel's own averages over 10, 60 and 300 seconds, in percent (cgroup v2).", "cgroup cpu.pressure"),
                Step::Shell("The host's.", "cat /proc/pressure/cpu /proc/loadavg"),
                Step::Query("Whether it is the quota: the share of periods in which it was stopped.", || {
                    rate(ids::CPU_THROTTLED_PERIODS).per(rate(ids::CPU_PERIODS))
                }),
                Step::Query("Who else uses the host's CPUs, the greatest first.", || {
                    rate(ids::CPU_USAGE).sum_by(&["instance", "container_name"]).sort_desc()
                }),
                Step::Query("How many CPUs the host has.", || now(ids::MACHINE_CORES)),
            ],
            &[
                "If it is stopped by its quota, see [CpuThrottled](CpuThrottled.md).",
                "If the host is full, move a container away, or bound the one that takes most: `docker update --cpus 2 NAME`.",
                "If it matters more than its neighbours, give it a greater weight: `docker update --cpu-shares 4096 \"$C\"`.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let signal =
                Signal::counter(select(ids::PRESSURE_CPU_WAITING), by_minute(below(t)), by_minute(above(t)));
            Trial::new(About::Container, above(t), vec![signal]).settles_after_minutes(RATE_MINUTES)
        },
    )
    .says(
        "A container waits for CPU.",
        "Container {container_name} on {instance} had a task without a CPU for {value:percent} of the time.",
    )
    .setting(Setting::threshold(0.4, "share of the time in which at least one task waits"))
    .wait_minutes(15)
}
