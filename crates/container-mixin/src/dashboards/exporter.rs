//! L4: the exporter, live. Does it see everything, in time, and at what cost?

use collector_core::Group;
use collector_core::catalogue::{Entity, ids};
use metric_schema::MetricDef;
use mixin::dashboard::{Color, Dashboard, Panel, Query, Section, Shown};
use mixin::target::{SCRAPE_DURATION, SCRAPE_SAMPLES};
use mixin::{Profile, Window};
use runtime_metrics::catalogue;

use super::parts::{self, *};
use super::uid;
use crate::metric::{metric, runtime};

pub(super) fn dashboard(_: Profile) -> Dashboard {
    parts::dashboard(
        uid::EXPORTER,
        "Containers / Exporter",
        "The exporter itself, live: scrapes, collections, engines, what is absent and why, OTLP, and what it costs.",
    )
    .refresh("5s")
    .from("now-15m")
    .section(Section::top(now()))
    .section(Section::open("Scrapes and collections", collections()))
    .section(Section::open("Engines and what is absent", engines()))
    .section(Section::open("What it costs", costs()))
    .section(Section::collapsed("OTLP", otlp()))
    .section(Section::collapsed("Every metric of the exporter", rows_of(Group::Exporter, Entity::Exporter)))
    .section(Section::collapsed("Every metric of engines, where it is switched on", of_engines()))
    .section(Section::collapsed("Every metric of the process", rows(catalogue::PROCESS)))
    .section(Section::collapsed("Every metric of the runtime", rows(catalogue::RUNTIME)))
}

fn of_engines() -> Vec<Panel> {
    [Group::Engine, Group::EngineDisk].map(|group| rows_of(group, Entity::Exporter)).concat()
}

fn now() -> Vec<Panel> {
    let stat = |title, description, expr| {
        Panel::stat(title, description).query(Query::new(expr, "{instance}")).shown(Shown::Plain).size(4, 4)
    };
    let sources = metric(ids::SOURCE_UP).now().min_by(&["job", "instance", "source"]);
    vec![
        stat("Exporter", "Whether Prometheus reaches it.", up()).mappings(UP_DOWN),
        Panel::stat("Engines", "Whether each source of containers answers.")
            .query(Query::new(sources, "{source} of {instance}"))
            .shown(Shown::Plain)
            .mappings(UP_DOWN)
            .size(4, 4),
        stat(
            "Scrape takes",
            "How long Prometheus waited for the last page.",
            of_exporters(target(&SCRAPE_DURATION)),
        )
        .shown(Shown::Seconds)
        .steps(&[(1.0, Color::Orange), (5.0, Color::Red)]),
        stat("Series", "Samples on the last page.", of_exporters(target(&SCRAPE_SAMPLES)))
            .shown(Shown::Short),
        stat(
            "Stuck threads",
            "Sampling threads that wait in a read of the kernel.",
            max(ids::STUCK_WORKERS, HOST),
        )
        .steps(ANY_STEPS),
        stat("Kept descriptors", "Kernel files that are kept open.", max(ids::KEPT_FDS, HOST))
            .shown(Shown::Short),
    ]
}

fn collections() -> Vec<Panel> {
    let mean = rate(ids::COLLECTION_SECONDS, HOST).per(rate(ids::COLLECTIONS, HOST));
    let requests = metric(ids::HTTP_REQUESTS).rate(Window::Interval).sum_by(&["instance", "handler", "code"]);
    vec![
        Panel::graph(
            "A collection takes",
            "Mean time of a collection: reading the kernel's files of all containers.",
        )
        .query(Query::new(mean, "{instance}"))
        .shown(Shown::Seconds)
        .steps(LATENCY_STEPS)
        .size(8, 8),
        Panel::graph("Not read in time", "Containers that a collection's deadline left out.")
            .query(Query::new(rate(ids::TIMED_OUT, HOST), "{instance}"))
            .shown(Shown::OpsPerSecond)
            .size(8, 8),
        Panel::graph("HTTP requests", "Answers by handler and status.")
            .query(Query::new(requests, "{handler} {code} of {instance}"))
            .shown(Shown::RequestsPerSecond)
            .size(8, 8),
    ]
}

fn engines() -> Vec<Panel> {
    const SOURCE: &[&str] = &["instance", "source"];
    let errors = rate(ids::SOURCE_ERRORS, SOURCE).per(rate(ids::SOURCE_REQUESTS, SOURCE));
    let versions = Panel::table(
        "Engines",
        "What answers at each source, and how it runs containers.",
        &[
            ("instance", "Instance"),
            ("source", "Source"),
            ("engine", "Engine"),
            ("version", "Version"),
            ("api_version", "API"),
            ("cgroup_driver", "Cgroup driver"),
            ("storage_driver", "Storage driver"),
            ("endpoint", "Address"),
        ],
    )
    .query(Query::new(metric(ids::ENGINE_INFO).now(), ""))
    .width("Source", 110)
    .width("Engine", 110)
    .width("API", 80)
    .width("Cgroup driver", 130)
    .width("Storage driver", 140)
    .size(24, 4);
    let absent = Panel::table(
        "What is absent, and why",
        "Containers of which at least one metric of the group cannot be known.",
        &[("instance", "Instance"), ("group", "Group"), ("reason", "Reason")],
    )
    .query(Query::column(
        metric(ids::METRIC_ABSENT).now().gt(0.0).max_by(&["instance", "group", "reason"]),
        "Containers",
        Shown::Plain,
    ))
    .top("Containers", 50)
    .size(12, 8);
    vec![
        Panel::graph(
            "Requests to engines that failed",
            "Share of the requests that failed or took too long.",
        )
        .query(Query::new(errors, "{source} of {instance}"))
        .shown(Shown::Ratio)
        .steps(ERROR_STEPS)
        .min(0.0),
        absent,
        versions,
    ]
}

fn otlp() -> Vec<Panel> {
    let queue = sum(ids::OTLP_QUEUE_BYTES, HOST).per(sum(ids::OTLP_QUEUE_LIMIT, HOST));
    let mean = rate(ids::OTLP_OPERATION_SECONDS, HOST).per(rate(ids::OTLP_OPERATIONS, HOST));
    vec![
        Panel::graph("Points", "Data points that the receiver took, and those that were not delivered.")
            .query(Query::new(rate(ids::OTLP_EXPORTED, HOST), "{instance} delivered"))
            .query(Query::new(rate(ids::OTLP_FAILED, &["instance", "reason"]), "{instance} lost: {reason}"))
            .shown(Shown::OpsPerSecond),
        Panel::graph("Queue", "What waits for the receiver, of what may wait.")
            .query(Query::new(queue, "{instance}"))
            .shown(Shown::Ratio)
            .steps(MEMORY_STEPS)
            .size(6, 8),
        Panel::graph("An export takes", "Mean time of a request, with its tries.")
            .query(Query::new(mean, "{instance}"))
            .shown(Shown::Seconds)
            .steps(LATENCY_STEPS)
            .size(6, 8),
    ]
}

fn costs() -> Vec<Panel> {
    let graph = |title, description, expr| {
        Panel::graph(title, description).query(Query::new(expr, "{instance}")).min(0.0).size(8, 8)
    };
    let cpu = of_exporters(runtime(&catalogue::PROCESS_CPU).rate(Window::Interval).sum_by(HOST));
    let now = |row| of_exporters(target(row));
    vec![
        graph("CPU of the exporter, cores", "Cores in use: 0.01 is one percent of one core.", cpu),
        graph("Memory of the exporter", "Resident memory.", now(&catalogue::PROCESS_RESIDENT_MEMORY))
            .shown(Shown::Bytes),
        graph(
            "Descriptors",
            "Open file descriptors, and how many may be open.",
            now(&catalogue::PROCESS_OPEN_FDS),
        )
        .query(Query::new(now(&catalogue::PROCESS_MAX_FDS), "limit of {instance}").limit()),
    ]
}

/// Other services have metrics of these names, too.
fn rows(rows: &'static [MetricDef]) -> Vec<Panel> {
    rows.iter().map(|row| Panel::of_metric(runtime(row), HOST).map(of_exporters)).collect()
}
