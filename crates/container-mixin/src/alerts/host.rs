//! A host cannot serve its containers.

use collector_core::catalogue::ids;
use mixin::{About, Alert, Runbook, Setting, Severity, Signal, Step, Trial, below, far_above};

use super::{ON_HOST, RATE, RATE_MINUTES, TARGET, by_minute, now, rate, select};

pub(super) fn alerts() -> Vec<Alert> {
    vec![memory_stalled(), oom_killed_short_lived()]
}

fn memory_stalled() -> Alert {
    Alert::new(
        "HostMemoryStalled",
        |chosen| rate(ids::HOST_MEMORY_STALLED).gt(chosen.threshold()),
        ON_HOST,
        Runbook::new(
            "For more than 10 % of the time every task of the host that could have worked waited for memory: the host as a whole has too little, \
             whatever the limits of its containers.",
            "Everything on it crawls, ssh included. Soon the kernel kills the process that takes most, in whichever container it is.",
            &[
                Step::Shell("The kernel's own averages over 10, 60 and 300 seconds, in percent.", "cat /proc/pressure/memory; free -m"),
                Step::Shell("Who has the memory: containers, then processes.", "docker stats --no-stream --format 'table {{.Name}}\\t{{.MemUsage}}'; ps -eo rss,comm,cgroup --sort=-rss | head -15"),
                Step::Shell("Whether the kernel kills already.", "dmesg -T | grep -i 'killed process' | tail"),
                Step::Query("Working sets, the greatest first.", || {
                    now(ids::MEMORY_WORKING_SET).sum_by(&["instance", "container_name"]).sort_desc()
                }),
                Step::Query("Containers without a limit of their own: 0 is none.", || {
                    now(ids::MEMORY_SPEC_LIMIT).equal(0.0)
                }),
                Step::Query("Limits added up, as a share of the host's memory: above 1 it is promised more than there is.", || {
                    let limits = now(ids::MEMORY_SPEC_LIMIT).sum_by(TARGET);
                    limits.per_on(TARGET, now(ids::MACHINE_MEMORY).max_by(TARGET))
                }),
            ],
            &[
                "Stop or move the container that takes most and matters least: `docker stop NAME`.",
                "Give every container a limit (`docker update --memory 1g --memory-swap 1g NAME`), so that one alone cannot take all.",
                "Protect what matters: `--memory-reservation` (`memory.low`).",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let signal = Signal::counter(select(ids::HOST_MEMORY_STALLED), by_minute(below(t)), by_minute(far_above(t)));
            Trial::new(About::Target, far_above(t), vec![signal]).settles_after_minutes(RATE_MINUTES)
        },
    )
    .says(
        "A host stands still for want of memory.",
        "Every task of the host of {instance} waited for memory for {value:percent} of the time.",
    )
    .severity(Severity::Critical)
    .setting(Setting::threshold(0.1, "share of the time in which every task waits"))
    .wait_minutes(5)
}

fn oom_killed_short_lived() -> Alert {
    Alert::new(
        "OomKilledShortLived",
        |chosen| {
            let killed = |rise: mixin::Expr| rise.gt(chosen.threshold());
            let seen = killed(select(ids::OOM_EVENTS).increase(RATE));
            killed(select(ids::HOST_OOM_KILLS).increase(RATE)).unless_on(TARGET, seen)
        },
        ON_HOST,
        Runbook::new(
            "The kernel killed a process for want of memory in a container that was gone before the next scrape, so that no series of its own \
             tells of it. The host's count does.",
            "A job or a build failed, or a container was replaced before anybody saw why.",
            &[
                Step::Shell("Which container and process: the kernel names both.", "dmesg -T | grep -E -A 2 -i 'oom-kill:|killed process' | tail -20"),
                Step::Shell("Containers that ended in the last hour, with their exit codes.", r#"docker events --since 1h --until "$(date +%s)" --filter event=oom --filter event=die"#),
                Step::Query("Ends by outcome.", || select(ids::HOST_EXITS).increase(RATE)),
                Step::Query("Kills on the host.", || select(ids::HOST_OOM_KILLS).increase(RATE)),
            ],
            &[
                "Give the job more memory: `docker run --memory 2g …`.",
                "Run it without `--rm` once, to keep its log and its state.",
            ],
        ),
        |chosen| {
            let each_minute = (chosen.threshold() / 5.0).floor() + 1.0;
            Trial::new(
                About::Target,
                each_minute * 5.0,
                vec![
                    Signal::counter(select(ids::HOST_OOM_KILLS), 0.0, each_minute),
                    Signal::counter(select(ids::OOM_EVENTS), 0.0, 0.0),
                ],
            )
            .settles_after_minutes(RATE_MINUTES)
        },
    )
    .says(
        "A process was killed for want of memory in a container that is gone.",
        "The kernel killed {value:count} process(es) within 5 minutes in containers on {instance} that were gone before they could be scraped.",
    )
    .setting(Setting::threshold(0.0, "kills within 5 minutes"))
}
