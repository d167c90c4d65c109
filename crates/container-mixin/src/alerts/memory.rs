//! A container runs out of memory.

use collector_core::catalogue::ids;
use mixin::{
    About, Alert, Expr, Runbook, Setting, Severity, Signal, Step, Trial, Window, above, below, far_above,
};

use super::{FIND, ON_CONTAINER, RATE, RATE_MINUTES, by_minute, now, rate, select};

/// What the trials take for a limit.
const GIBIBYTE: f64 = 1_073_741_824.0;
/// What is looked back over for what will be.
const TREND: Window = Window::Fixed("1h");
const TREND_MINUTES: u64 = 60;

pub(super) fn alerts() -> Vec<Alert> {
    vec![near_limit(), filling_up(), stalled(), oom_killed()]
}

/// The smallest of its own limit, its ancestors' and the host's memory; under other names its own.
fn limit() -> Expr {
    now(ids::MEMORY_LIMIT).or_else(now(ids::MEMORY_SPEC_LIMIT))
}

fn used_of_limit() -> Expr {
    now(ids::MEMORY_WORKING_SET).per(limit())
}

/// Series of a limit, under whichever name the profile has.
fn limits() -> [Signal; 2] {
    [ids::MEMORY_LIMIT, ids::MEMORY_SPEC_LIMIT]
        .map(|row| Signal::gauge(select(row), GIBIBYTE, GIBIBYTE).divides())
}

const KINDS: Step = Step::Shell(
    "What it is made of: `anon` (v1: `total_rss`) is the program's own, `shmem` is shared memory and tmpfs, `file` less \
     `inactive_file` is page cache in use.",
    "cgroup memory.stat | grep -E ':(total_)?(anon|rss|shmem|file|cache|inactive_file|slab|sock) '",
);
const INSIDE: Step = Step::Shell(
    "Which process has it, by resident kilobytes.",
    r#"docker top "$C" -eo pid,rss,args | sort -k2 -n -r | head"#,
);
const EVENTS: Step = Step::Shell(
    "How often it ran into its limit (`max`; v1: `memory.failcnt`) and how often that ended in a kill (`oom_kill`).",
    "cgroup memory.events; cgroup memory.failcnt; cgroup memory.oom_control",
);
const RAISE: &str = "Give it more: `docker update --memory 2g --memory-swap 2g \"$C\"` works at once; then change its Compose file or unit as well.";

fn near_limit() -> Alert {
    Alert::new(
        "MemoryNearLimit",
        |chosen| used_of_limit().gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "The container's working set (memory in use less the file pages that can be dropped at once) has been above 90 % of what it may \
             have for ten minutes. What it may have is the smallest of its own limit, the limits of the cgroups around it, and the host's \
             memory.",
            "A little more, and the kernel reclaims what it can, which slows the container down, and then kills a process of it.",
            &[
                FIND,
                KINDS,
                INSIDE,
                EVENTS,
                Step::Query("Since when: its working set as a share of its limit.", used_of_limit),
                Step::Query("The program's own memory, without the page cache.", || now(ids::MEMORY_RSS)),
            ],
            &[
                RAISE,
                "If its own memory grows without end, it leaks: restart it to win time, `docker restart \"$C\"`, and tell those who wrote it.",
                "If it is a cache or a heap that takes what it gets, bound it below the limit (`-XX:MaxRAMPercentage`, `GOMEMLIMIT`, \
                 `--max-old-space-size`, `maxmemory`).",
                "If it is shared memory or a tmpfs, look what lies in `/dev/shm` and `/tmp`: `docker exec \"$C\" du -sh /dev/shm /tmp`.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let [limit, spec_limit] = limits();
            let used = Signal::gauge(select(ids::MEMORY_WORKING_SET), below(t) * GIBIBYTE, above(t) * GIBIBYTE);
            Trial::new(About::Container, above(t), vec![used, limit, spec_limit])
        },
    )
    .says(
        "A container has nearly used up its memory limit.",
        "Container {container_name} on {instance} uses {value:percent} of the memory that it may have.",
    )
    .setting(Setting::threshold(0.9, "share of the limit that the working set takes"))
    .wait_minutes(10)
}

fn filling_up() -> Alert {
    Alert::new(
        "MemoryFillingUp",
        |chosen| {
            let then = select(ids::MEMORY_WORKING_SET).predict_linear(TREND, chosen.number("ahead"));
            let in_use = used_of_limit().gt(chosen.number("floor"));
            then.per(limit()).gt(chosen.threshold()).and_on(&["job", "instance", "container_id"], in_use)
        },
        ON_CONTAINER,
        Runbook::new(
            "The container's working set has grown over the last hour in such a way that it would reach its limit within four hours, and more \
             than half of the limit is in use already.",
            "None yet. If it goes on, the container is slowed down and then killed, probably at the worst hour.",
            &[
                FIND,
                KINDS,
                INSIDE,
                Step::Query("The working set as a share of the limit: a straight line is a leak, steps are work, a curve that flattens is a cache.", used_of_limit),
                Step::Query("Bytes by which it grows in an hour.", || {
                    select(ids::MEMORY_WORKING_SET).predict_linear(TREND, 3600.0).minus(now(ids::MEMORY_WORKING_SET))
                }),
                Step::Query("When it started: leaks begin with a new version.", || now(ids::START_TIME)),
            ],
            &[
                "If it began with a new version, go back to the one before.",
                "Restart it at an hour of your choosing, before the kernel chooses one: `docker restart \"$C\"`.",
                RAISE,
            ],
        ),
        |chosen| {
            let (t, floor) = (chosen.threshold(), chosen.number("floor"));
            // From the floor on so fast that what will be is above the threshold at once.
            let by = above(t) * GIBIBYTE / 256.0;
            let from = above(floor) * GIBIBYTE;
            let [limit, spec_limit] = limits();
            let used = Signal::climbing(select(ids::MEMORY_WORKING_SET), from, by);
            Trial::new(About::Container, 0.0, vec![used, limit, spec_limit]).settles_after_minutes(TREND_MINUTES)
        },
    )
    .says(
        "A container will have used up its memory limit within hours.",
        "Container {container_name} on {instance} takes more and more memory: as in the last hour, it reaches its limit soon.",
    )
    .setting(Setting::threshold(1.0, "share of the limit that is to be reached"))
    .setting(Setting::new("ahead", 14_400.0, "how far ahead is looked, in seconds"))
    .setting(Setting::new("floor", 0.5, "share of the limit that is in use already"))
    .wait_minutes(30)
}

fn stalled() -> Alert {
    Alert::new(
        "MemoryStalled",
        |chosen| rate(ids::PRESSURE_MEMORY_STALLED).gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "For more than 10 % of the time every task of the container that could have worked waited for memory instead: it was reclaimed, \
             read back or swapped in.",
            "The container hardly gets anything done, though its CPU looks busy. Health checks fail, and requests time out.",
            &[
                FIND,
                Step::Shell("The kernel's own averages over 10, 60 and 300 seconds, in percent (cgroup v2).", "cgroup memory.pressure"),
                EVENTS,
                KINDS,
                Step::Query("Pages that were dropped and had to be read again soon: the page cache is too small.", || rate(ids::MEMORY_REFAULT_FILE)),
                Step::Query("Working set as a share of the limit.", used_of_limit),
                Step::Query("Whether the whole host is short of memory.", || rate(ids::HOST_MEMORY_STALLED)),
            ],
            &[
                RAISE,
                "Restart it if it does not answer any more: `docker restart \"$C\"`.",
                "If the host is short, see [HostMemoryStalled](HostMemoryStalled.md).",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let signal =
                Signal::counter(select(ids::PRESSURE_MEMORY_STALLED), by_minute(below(t)), by_minute(far_above(t)));
            Trial::new(About::Container, far_above(t), vec![signal]).settles_after_minutes(RATE_MINUTES)
        },
    )
    .says(
        "A container stands still for want of memory.",
        "Every task of container {container_name} on {instance} waited for memory for {value:percent} of the time.",
    )
    .severity(Severity::Critical)
    .setting(Setting::threshold(0.1, "share of the time in which every task waits"))
    .wait_minutes(5)
}

fn oom_killed() -> Alert {
    Alert::new(
        "OomKilled",
        |chosen| select(ids::OOM_EVENTS).increase(RATE).gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "The kernel killed a process of the container because a memory limit was reached and nothing more could be reclaimed. It need not \
             have been the init process: then the container runs on, without its worker.",
            "What the process did is lost. If it was the init process, the container is down until it is started again.",
            &[
                FIND,
                Step::Shell("Whether the container as a whole ended of it, when, and how often it was started again.", r#"docker inspect -f '{{.State.Status}} OOMKilled={{.State.OOMKilled}} exit={{.State.ExitCode}} finished={{.State.FinishedAt}} restarts={{.RestartCount}}' "$C""#),
                Step::Shell("Which process it was, how much it had, and whose limit it was, in the kernel's words.", "dmesg -T | grep -A 2 -i 'killed process' | tail"),
                EVENTS,
                Step::Shell("What it said last.", r#"docker logs --tail 50 "$C""#),
                Step::Query("How close it was before: working set as a share of the limit.", used_of_limit),
                Step::Query("Kills since the exporter watches.", || select(ids::OOM_EVENTS).increase(Window::Fixed("1d"))),
            ],
            &[
                RAISE,
                "If a new version needs more than the one before, go back, or raise the limit on purpose.",
                "Let the kernel end all of the container rather than a part of it: `memory.oom.group` (v2), so that a restart policy helps.",
                "See [MemoryNearLimit](MemoryNearLimit.md) for what bounds heaps and caches.",
            ],
        ),
        |chosen| {
            let each_minute = (chosen.threshold() / 5.0).floor() + 1.0;
            let signal = Signal::counter(select(ids::OOM_EVENTS), 0.0, each_minute);
            Trial::new(About::Container, each_minute * 5.0, vec![signal]).settles_after_minutes(RATE_MINUTES)
        },
    )
    .says(
        "A process of a container was killed for want of memory.",
        "The kernel killed {value:count} process(es) of container {container_name} on {instance} within 5 minutes, because its memory limit was reached.",
    )
    .setting(Setting::threshold(0.0, "kills within 5 minutes"))
}
