//! The exporter says nothing, too little, or too late.

use collector_core::catalogue::ids;
use mixin::{About, Alert, Metric, Runbook, Setting, Severity, Signal, Step, Trial, above, below, target};

use super::{DOCTOR, ON_EXPORTER, RATE_MINUTES, now, rate, select};

/// The job under which Prometheus scrapes the exporter, as `deploy/` has it.
const JOB: &str = "container-exporter";

pub(super) fn alerts() -> Vec<Alert> {
    vec![down(), absent(), scrape_slow(), source_failing(), engine_disconnected(), series_left_out()]
}

const UP: Metric = Metric::of(&target::UP);

const SCRAPE: Step = Step::Shell(
    "What Prometheus gets when it asks, and how long that takes; `instance` is the alert's.",
    r#"curl -sS -o /dev/null -w '%{http_code} %{size_download} bytes %{time_total} s\n' "http://$INSTANCE/metrics""#,
);
const RUNS: Step = Step::Shell(
    "On its host: whether it runs, as a service or as a container, and what it said last.",
    "systemctl status --no-pager container-exporter; journalctl --no-pager -u container-exporter -n 50\n\
     docker ps -a --filter name=container-exporter; docker logs --tail 50 container-exporter",
);
const HEALTH: Step =
    Step::Shell("Whether it can collect, source by source.", r#"curl -sS "http://$INSTANCE/health""#);

fn down() -> Alert {
    Alert::new(
        "ExporterDown",
        |chosen| UP.select().eq("job", chosen.job()).now().equal(0.0),
        ON_EXPORTER,
        Runbook::new(
            "Prometheus has not been able to scrape the exporter of this host for five minutes.",
            "Nothing is known of the host's containers: no alert about them can fire, and those that fired end. While this one fires, the host's \
             warnings are held back.",
            &[
                Step::Shell("Why, in Prometheus' words: `connection refused`, `timeout`, a page it could not read. `PROMETHEUS` is its address.", r#"curl -sS "http://$PROMETHEUS/api/v1/targets?state=active" | jq -r '.data.activeTargets[] | select(.health != "up") | "\(.scrapeUrl) \(.lastError)"'"#),
                SCRAPE,
                RUNS,
                DOCTOR,
                Step::Shell("Whether its configuration is in order.", "container-exporter config check"),
                Step::Query("Whether other targets of the same host answer.", || UP.now()),
            ],
            &[
                "Start it again: `systemctl restart container-exporter`, or `docker restart container-exporter`.",
                "`connection refused` though it runs: it listens on another address (`server.listen`), or a firewall is between.",
                "`context deadline exceeded`: see [ScrapeSlow](ScrapeSlow.md).",
                "If the host is gone on purpose, take it out of Prometheus' targets.",
            ],
        ),
        |chosen| Trial::new(About::Target, 0.0, vec![Signal::gauge(UP.select().eq("job", chosen.job()), 1.0, 0.0)]),
    )
    .says("An exporter cannot be scraped.", "Prometheus cannot scrape the exporter at {instance}: nothing is known of the containers there.")
    .severity(Severity::Critical)
    .of_job(JOB)
    .wait_minutes(5)
}

fn absent() -> Alert {
    Alert::new(
        "ExporterAbsent",
        |chosen| UP.select().eq("job", chosen.job()).absent(),
        ON_EXPORTER,
        Runbook::new(
            "Prometheus has had no target of the exporter's job for ten minutes: not one that is down, but none at all.",
            "Nothing is known of any container, and no other alert tells.",
            &[
                Step::Shell("The jobs and targets that Prometheus has. `PROMETHEUS` is its address.", r#"curl -sS "http://$PROMETHEUS/api/v1/targets?state=any" | jq -r '.data.activeTargets[] | "\(.labels.job) \(.scrapeUrl) \(.health)"' | sort"#),
                Step::Shell("Whether its configuration is what it should be, and whether it was loaded.", r#"promtool check config /etc/prometheus/prometheus.yml
curl -sS "http://$PROMETHEUS/api/v1/status/config" | jq -r .data.yaml | grep -A 5 job_name"#),
                Step::Query("All jobs that there are.", || UP.now().count_by(&["job"])),
            ],
            &[
                "Put the job back, or the targets into its service discovery; then reload Prometheus: `curl -X POST \"http://$PROMETHEUS/-/reload\"`.",
                "If the job has another name, generate the rules for it: `cargo xtask gen-dashboards --set job=NAME`.",
            ],
        ),
        |chosen| Trial::new(About::All, 1.0, vec![Signal::going(UP.select().eq("job", chosen.job()), 1.0)]),
    )
    .says("No exporter is scraped.", "Prometheus has no target of job {job}: nothing is known of any container.")
    .severity(Severity::Critical)
    .of_job(JOB)
    .wait_minutes(10)
}

fn scrape_slow() -> Alert {
    const DURATION: Metric = Metric::of(&target::SCRAPE_DURATION);
    Alert::new(
        "ScrapeSlow",
        |chosen| DURATION.select().eq("job", chosen.job()).now().gt(chosen.threshold()),
        ON_EXPORTER,
        Runbook::new(
            "A scrape of the exporter has taken more than five seconds for a quarter of an hour. It takes tens of milliseconds as a rule.",
            "Near the scrape's timeout parts of the page are left out (reason `timeout`), beyond it all of it.",
            &[
                SCRAPE,
                Step::Shell("The load of its host.", "cat /proc/loadavg /proc/pressure/cpu /proc/pressure/memory /proc/pressure/io"),
                DOCTOR,
                Step::Query("Seconds of a collection: what reading the kernel takes of it.", || {
                    rate(ids::COLLECTION_SECONDS).per(rate(ids::COLLECTIONS))
                }),
                Step::Query("Threads that hang in a read which does not return.", || now(ids::STUCK_WORKERS)),
                Step::Query("Containers that could not be read in time.", || rate(ids::TIMED_OUT)),
                Step::Query("Which groups are absent, of how many containers, and why.", || {
                    now(ids::METRIC_ABSENT).sum_by(&["instance", "group", "reason"]).sort_desc()
                }),
                Step::Query("Samples of a scrape: with very many containers the way to Prometheus takes the time.", || {
                    Metric::of(&target::SCRAPE_SAMPLES).now()
                }),
            ],
            &[
                "If its own CPU quota stops it, raise that.",
                "Switch off groups that nobody looks at: `metrics.groups`; leave out containers: `containers.exclude`.",
                "If the engine's API is asked instead of the kernel (remote engines, sandboxed runtimes), that takes seconds: run the exporter where \
                 the containers are.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let signal = Signal::gauge(DURATION.select().eq("job", chosen.job()), below(t), above(t));
            Trial::new(About::Target, above(t), vec![signal])
        },
    )
    .says("A scrape of an exporter takes too long.", "A scrape of the exporter at {instance} takes {value:number} s.")
    .of_job(JOB)
    .setting(Setting::threshold(5.0, "seconds"))
    .wait_minutes(15)
}

/// What tells why an engine does not answer.
const ENGINE: Step = Step::Shell(
    "Whether the engine answers at all, and what it says.",
    "docker version; systemctl status --no-pager docker; journalctl --no-pager -u docker -n 50\n\
     podman system connection list; systemctl status --no-pager podman.socket",
);
const SOCKET: Step = Step::Shell(
    "Whether the exporter may use its socket.",
    "ls -l /var/run/docker.sock /run/podman/podman.sock; id container-exporter",
);

fn source_failing() -> Alert {
    Alert::new(
        "SourceFailing",
        |chosen| rate(ids::SOURCE_ERRORS).per(rate(ids::SOURCE_REQUESTS)).gt(chosen.threshold()),
        ON_EXPORTER,
        Runbook::new(
            "More than 10 % of the exporter's requests to an engine failed or timed out for a quarter of an hour.",
            "Names, states and health of containers come late or are missing. What the kernel says of them goes on.",
            &[
                HEALTH,
                DOCTOR,
                ENGINE,
                Step::Query("Requests by source.", || rate(ids::SOURCE_REQUESTS)),
                Step::Query("Connections that were made again.", || rate(ids::SOURCE_RECONNECTS)),
            ],
            &[
                "If the engine is overloaded, see what asks it so much: every `docker ps` and `docker stats` in a cron job counts.",
                "If it hangs, restart it: `systemctl restart docker` (containers go on with `live-restore`).",
                "If single requests are forbidden by a proxy in front of the socket, allow those in the exporter's log.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let of = |row| select(row).eq("source", "docker");
            Trial::new(
                About::Target,
                above(t),
                vec![
                    Signal::counter(of(ids::SOURCE_ERRORS), below(t) * 64.0, above(t) * 64.0),
                    Signal::counter(of(ids::SOURCE_REQUESTS), 64.0, 64.0).divides(),
                ],
            )
            .settles_after_minutes(RATE_MINUTES)
        },
    )
    .says("Requests to an engine fail.", "{value:percent} of the requests of the exporter at {instance} to {source} fail.")
    .setting(Setting::threshold(0.1, "share of the requests"))
    .wait_minutes(15)
}

fn engine_disconnected() -> Alert {
    Alert::new(
        "EngineDisconnected",
        |_| now(ids::SOURCE_UP).equal(0.0),
        ON_EXPORTER,
        Runbook::new(
            "An engine that the exporter watches has not answered for five minutes. The exporter goes on trying.",
            "New containers have no names, or are not seen at all; states and health stay as they were. What the kernel says of containers that are \
             known goes on.",
            &[
                HEALTH,
                DOCTOR,
                ENGINE,
                SOCKET,
                Step::Query("Which sources answer.", || now(ids::SOURCE_UP)),
                Step::Query("Whether it fails again and again.", || rate(ids::SOURCE_RECONNECTS)),
            ],
            &[
                "Start the engine: `systemctl start docker`, `systemctl start podman.socket`.",
                "If it hangs, restart it: `systemctl restart docker` (containers go on with `live-restore`).",
                "If the exporter may not use the socket, the fix is what `doctor` prints.",
                "If the engine is gone on purpose, switch its source off: `podman.enabled = false`.",
            ],
        ),
        |_| Trial::new(About::Target, 0.0, vec![Signal::gauge(select(ids::SOURCE_UP).eq("source", "docker"), 1.0, 0.0)]),
    )
    .says("An engine does not answer.", "The exporter at {instance} has lost {source}: new containers have no names.")
    .severity(Severity::Critical)
    .wait_minutes(5)
}

fn series_left_out() -> Alert {
    Alert::new(
        "SeriesLeftOut",
        |chosen| now(ids::SERIES_DROPPED).gt(chosen.threshold()),
        ON_EXPORTER,
        Runbook::new(
            "For a quarter of an hour the containers of a host have had more series in a group than `metrics.series_per_group` allows.",
            "The youngest containers have no series of that group, on pages and by OTLP: no alert about it can fire for them. Those that have \
             been there longer keep theirs.",
            &[
                Step::Query("How many series are left out, by group.", || now(ids::SERIES_DROPPED).sort_desc()),
                Step::Query("Of how many containers.", || {
                    select(ids::METRIC_ABSENT).eq("reason", "over_budget").now()
                }),
                Step::Shell(
                    "Which containers have most in that group: `GROUP` is the alert's `group`, `INSTANCE` its `instance`.",
                    r#"curl -sS "http://$INSTANCE/metrics?collect[]=$GROUP" | grep -o 'container_name="[^"]*"' | sort | uniq -c | sort -n | tail"#,
                ),
                Step::Shell("What the exporter said of it.", "journalctl --no-pager -u container-exporter | grep 'more series'"),
            ],
            &[
                "If the host is that large, raise `metrics.series_per_group`: a series is about 150 bytes of a page.",
                "If one container has hundreds of devices, interfaces or volumes that nobody looks at, leave it out: `containers.exclude`.",
                "If nobody looks at the group, switch it off: `metrics.groups`.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let dropped = select(ids::SERIES_DROPPED).eq("group", "memory");
            Trial::new(About::Target, t + 40.0, vec![Signal::gauge(dropped, t, t + 40.0)])
        },
    )
    .says(
        "Series are left out because there are too many.",
        "The exporter at {instance} leaves out {value:number} series of the group {group}: the youngest containers have none.",
    )
    .setting(Setting::threshold(0.0, "series of a group"))
    .wait_minutes(15)
}
