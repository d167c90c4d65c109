//! A container does not run, or not well.

use collector_core::catalogue::ids;
use mixin::{About, Alert, Expr, Runbook, Setting, Severity, Signal, Step, Trial, Window};

use super::{FIND, ON_CONTAINER, now, select};

const RESTARTS_WINDOW: Window = Window::Fixed("15m");
const RESTARTS_MINUTES: u64 = 15;

pub(super) fn alerts() -> Vec<Alert> {
    vec![restart_loop(), unhealthy(), down()]
}

const STATE: Step = Step::Shell(
    "How it ended, and how often it was started again by its restart policy.",
    r#"docker inspect -f '{{.State.Status}} exit={{.State.ExitCode}} OOMKilled={{.State.OOMKilled}} error={{.State.Error}} started={{.State.StartedAt}} finished={{.State.FinishedAt}} restarts={{.RestartCount}} policy={{.HostConfig.RestartPolicy.Name}}' "$C""#,
);
const LOGS: Step = Step::Shell("What it said last.", r#"docker logs --timestamps --tail 100 "$C""#);
const EVENTS: Step = Step::Shell(
    "What the engine saw of it in the last hour: `die` with its exit code, `oom`, `kill`, `health_status`.",
    r#"docker events --since 1h --until "$(date +%s)" --filter "container=$C""#,
);
const CHANGE: Step = Step::Shell(
    "Whether its image or settings were changed: when it was made, and of which image.",
    r#"docker inspect -f '{{.Created}} {{.Config.Image}} {{.Image}}' "$C""#,
);

/// Runs that began; where the profile does not count them, new start times.
fn restarts() -> Expr {
    let counted = select(ids::RESTARTS).increase(RESTARTS_WINDOW);
    counted.or_else(select(ids::START_TIME).changes(RESTARTS_WINDOW))
}

fn restart_loop() -> Alert {
    Alert::new(
        "RestartLoop",
        |chosen| restarts().gt(chosen.threshold()),
        ON_CONTAINER,
        Runbook::new(
            "The container was started more than three times in a quarter of an hour: it ends soon after each start, and its restart policy (or \
             a unit of systemd, or somebody) starts it again.",
            "It serves nobody, or only between two ends. Where it starts with expensive work, its neighbours suffer.",
            &[
                FIND,
                STATE,
                LOGS,
                EVENTS,
                CHANGE,
                Step::Shell("Containers that systemd starts (Podman's Quadlet): what it says of the unit, by the container's name.", "systemctl status --no-pager \"$C.service\"; journalctl --no-pager -u \"$C.service\" -n 100"),
                Step::Query("The exit code of its last run: 137 was killed, 139 crashed, 143 was asked to end, 1 and 2 are the program's own.", || now(ids::EXIT_CODE)),
                Step::Query("Whether it was killed for want of memory.", || select(ids::OOM_EVENTS).increase(RESTARTS_WINDOW)),
            ],
            &[
                "Stop the loop to look at it in peace: `docker update --restart no \"$C\" && docker stop \"$C\"`.",
                "If it began with a new image, go back to the one before.",
                "If what it needs is not there yet (a database, a secret), let it wait for that, or start it after (`depends_on` with \
                 `condition: service_healthy`).",
                "If it was killed for want of memory, see [OomKilled](OomKilled.md).",
            ],
        ),
        |chosen| {
            let each_minute = (chosen.threshold() / 15.0).floor() + 1.0;
            let starts = Signal::climbing(select(ids::START_TIME), 1_700_000_000.0, 60.0);
            let counted = Signal::counter(select(ids::RESTARTS), 0.0, each_minute);
            Trial::new(About::Container, 0.0, vec![counted, starts]).settles_after_minutes(RESTARTS_MINUTES)
        },
    )
    .says(
        "A container starts again and again.",
        "Container {container_name} on {instance} ends soon after each of its starts, of which there were too many within 15 minutes.",
    )
    .setting(Setting::threshold(3.0, "starts within 15 minutes"))
}

fn unhealthy() -> Alert {
    Alert::new(
        "ContainerUnhealthy",
        |_| now(ids::HEALTH_STATE).equal(0.0),
        ON_CONTAINER,
        Runbook::new(
            "The container's own health check has failed for five minutes, or has not passed once in that time since its start.",
            "It runs, and by its own account cannot do its work. A restart policy does not help: that heeds only its end. Swarm and orchestrators \
             replace it; plain engines do not.",
            &[
                FIND,
                Step::Shell("What the last checks said.", r#"docker inspect -f '{{range .State.Health.Log}}{{.End}} exit={{.ExitCode}} {{.Output}}{{end}}' "$C""#),
                Step::Shell("What is checked, and how often.", r#"docker inspect -f '{{json .Config.Healthcheck}}' "$C""#),
                LOGS,
                Step::Query("Whether it is stopped by its CPU quota, so that the check runs into its timeout.", || {
                    super::rate(ids::CPU_THROTTLED_PERIODS).per(super::rate(ids::CPU_PERIODS))
                }),
                Step::Query("Whether it waits for memory.", || super::rate(ids::PRESSURE_MEMORY_WAITING)),
            ],
            &[
                "Restart it: `docker restart \"$C\"`.",
                "If what it depends on is down, mend that first; restarting then only adds load.",
                "If the check itself is too strict (timeout, start period), loosen it.",
            ],
        ),
        |_| Trial::new(About::Container, 0.0, vec![Signal::gauge(select(ids::HEALTH_STATE), 1.0, 0.0)]),
    )
    .says(
        "A container's health check fails.",
        "The health check of container {container_name} on {instance} fails, or has not passed since its start.",
    )
    .wait_minutes(5)
}

fn down() -> Alert {
    Alert::new(
        "ContainerDown",
        |_| {
            let ended = select(ids::STATE_SET).re("state", "exited|dead").now().equal(1.0);
            let ran = select(ids::STATE_SET).eq("state", "running").max_over_time(Window::Fixed("1h")).equal(1.0);
            ended.and_on(&["job", "instance", "container_id"], ran)
        },
        ON_CONTAINER,
        Runbook::new(
            "The container has ended and has not been started again for five minutes, though it ran within the last hour. A container that was \
             removed is not missed, nor is one that is paused. The alert ends by itself an hour after the container did.",
            "Whatever it did is not done. Jobs that end when their work is done look the same: run them with `--rm`, or silence them by name.",
            &[
                FIND,
                STATE,
                LOGS,
                EVENTS,
                Step::Query("The exit code of its last run: 0 ended by itself, 137 was killed, 139 crashed, 143 was asked to end.", || now(ids::EXIT_CODE)),
                Step::Query("How many ended on this host within the hour, and how.", || {
                    select(ids::HOST_EXITS).increase(Window::Fixed("1h"))
                }),
            ],
            &[
                "Start it: `docker start \"$C\"`.",
                "If nobody meant it to end, give it a restart policy: `docker update --restart unless-stopped \"$C\"`.",
                "If it was ended on purpose, remove it (`docker rm \"$C\"`), or silence the alert for as long as that is meant.",
            ],
        ),
        |_| {
            let state = |name: &str| select(ids::STATE_SET).eq("state", name);
            Trial::new(
                About::Container,
                1.0,
                // The last names the label that the alert has.
                vec![Signal::gauge(state("running"), 1.0, 0.0), Signal::gauge(state("exited"), 0.0, 1.0)],
            )
        },
    )
    .says(
        "A container is down that ran within the last hour.",
        "Container {container_name} on {instance} is {state} and was not started again.",
    )
    .severity(Severity::Critical)
    .wait_minutes(5)
}
