//! Every query of every dashboard, asked of a real Prometheus that scrapes the exporter while containers do what dashboards are
//! looked at for: work up to their quota, restart again and again, fail their check, run out of memory.

mod recording;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collector_core::catalogue::{self, Entity, Source};
use container_mixin::dashboards;
use container_mixin::profile::CADVISOR;
use mixin::Profile;
use mixin::dashboard::BuiltQuery;

use crate::harness::{Container, Scope, await_within, is_tried_here, say};
use crate::io::Disk;
use crate::prometheus::{Format, Over, Prometheus};

/// How often Prometheus comes, and how often before it is asked: 2 minutes.
const INTERVAL: u32 = 2;
const SCRAPES: u32 = 60;

/// Metrics that this host may not have, with the reason. Those that it has must answer.
const MAY_BE_ABSENT: &[(&str, &str)] = &[
    ("container_pressure_", "the kernel counts no pressure"),
    ("host_pressure_", "the kernel counts no pressure"),
    (
        "container_fs_",
        "the layer lies where the exporter cannot look, or the kernel counts no I/O of its disk",
    ),
    ("container_sample_age_seconds", "the kernel is read, not the engine's stats API"),
    ("container_finished_time_seconds", "an engine may not tell it of containers that restart"),
    ("container_spec_cpu_shares", "an engine may not tell it"),
    ("container_gpu_", "there is no GPU here"),
    ("host_gpu_", "there is no GPU here"),
    ("container_hugetlb_", "the kernel may be without the controller"),
    ("container_rdma_", "there is no RDMA device here"),
    ("container_misc_", "the kernel may be without the controller, or without anything that it counts"),
    ("container_mount_", "volumes are walked slowly, and where they lie the exporter may not look"),
    ("engine_unanswered", "the engine answers"),
    ("container_memory_kernel_usage", "cgroup v1 may be without kernel accounting"),
    ("container_memory_swap", "the kernel may be without swap accounting"),
    ("container_memory_sock_bytes", "cgroup v1 may be without accounting of TCP's buffers"),
    ("container_memory_events_oom_kill_total", "old kernels with cgroup v1 do not count it"),
    ("container_memory_workingset_refault_", "old kernels do not count it"),
    ("container_cpu_cfs_burst", "old kernels do not count it"),
    ("traces_span_metrics_", "no collector counts spans here"),
    ("container_cpu_schedstat_", "the kernel may not count how long threads wait"),
    ("tokio_task_", "the exporter watches no task by itself"),
    ("container_exporter_containers_dropped", "nothing is dropped"),
    ("container_exporter_http_refused_total", "nothing was refused"),
];

/// Queries that rightly yield nothing, by how their panel's title begins.
const MAY_BE_EMPTY: &[(&str, &str)] = &[
    ("What is absent, and why", "nothing may be absent"),
    ("container_memory_numa_bytes", "cgroup v1 tells some of the types only"),
    ("container_ulimits_soft", "a limit that is not set is none"),
];

/// Whether the kernel has the row under one version of cgroups only.
fn of_one_cgroup_version(name: &str) -> bool {
    catalogue::get().iter().any(|(_, row)| {
        let (Source::Key(key) | Source::PerKey(_, key)) = row.source else { return false };
        row.def.prometheus_name() == name && (key.v1.is_none() || key.v2.is_none())
    })
}

fn may_be_absent(name: &str) -> bool {
    of_one_cgroup_version(name) || MAY_BE_ABSENT.iter().any(|(start, _)| name.starts_with(start))
}

/// Takes whatever is sent by OTLP over HTTP and says that all is well.
fn receiver() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    // It ends with the test program.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || while take(&stream).is_ok() {});
        }
    });
    address
}

/// One request of a connection.
fn take(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
}

/// Containers that keep busy, and the one that is killed.
fn busy<'scope>(scope: &'scope Scope, disk: &Disk) -> (Vec<Container<'scope>>, Container<'scope>) {
    let service = |name: &'static str| {
        ["--label", "com.docker.compose.project=shop", "--label", name, "--network", "bridge", "-m", "32m"]
    };
    let check = ["--health-interval", "2s", "--health-cmd"];
    // Past the page cache, or it would be the kernel's doing.
    let disk_of = format!("--device={}", disk.path);
    let path = &disk.path;
    let work = format!(
        "while :; do dd if=/dev/zero of={path} bs=64k count=16 oflag=direct; \
         dd if={path} of=/dev/null bs=64k count=16 iflag=direct; done 2>/dev/null"
    );
    let web = [
        &service("com.docker.compose.service=web")[..],
        &["--cpus", "0.1", "--pids-limit", "64", &disk_of],
        &check,
        &["true"],
    ];
    let db = [&service("com.docker.compose.service=db")[..], &["--memory-swap", "32m"], &check, &["false"]];
    let web = scope.run("web", &web.concat(), &work);
    if !web.kernel().is_v2() {
        // v1 counts on a disk only from its first throttle rule on.
        scope.sleeper("throttled", &[&disk_of, &format!("--device-write-bps={path}:1tb")]).remove();
    }
    let running = vec![web, scope.run("flaky", &["--restart", "always"], "sleep 4; exit 3")];
    (running, scope.sleeper("db", &db.concat()))
}

/// What a dashboard would send, everything chosen.
fn sent(query: &str) -> String {
    sent_of(query, ".+")
}

/// The same with a container chosen.
fn sent_of(query: &str, name: &str) -> String {
    let variables = ["job", "instance", "project", "service"].map(|variable| (variable, ".+"));
    let chosen =
        variables.into_iter().chain([("name", name)]).fold(query.to_owned(), |text, (variable, value)| {
            text.replace(&format!("\"${variable}\""), &format!("\"{value}\""))
        });
    let window = format!("{}s", INTERVAL * 4);
    chosen.replace("$__rate_interval", &window).replace("$__range", "2m")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Every query of every dashboard under a profile, with its dashboard.
fn every_query(profile: Profile) -> Vec<(&'static str, BuiltQuery)> {
    let of = |entry: &'static dashboards::Entry| {
        let built = dashboards::build(entry, profile).expect("no mistakes");
        built.queries.into_iter().map(move |query| (entry.file, query))
    };
    dashboards::ALL.iter().flat_map(of).collect()
}

/// The queries that were refused or yielded nothing without an excuse.
fn unanswered(prometheus: &Prometheus, profile: Profile, from: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut answered = 0;
    let mut absent: BTreeSet<String> = BTreeSet::new();
    for (file, query) in every_query(profile) {
        let text = sent(&query.text);
        assert!(!text.contains('$'), "a variable is left: {text}");
        let over = if query.instant { Over::Now } else { Over::Time { from, to: now() } };
        match prometheus.answer(&text, over) {
            Ok(series) if !series.is_empty() => answered += 1,
            Ok(_) if MAY_BE_EMPTY.iter().any(|(start, _)| query.panel.starts_with(start)) => {}
            Ok(_)
                if query
                    .metrics
                    .iter()
                    .any(|name| may_be_absent(name) && !is_stored(prometheus, profile, name)) =>
            {
                absent.extend(query.metrics);
            }
            Ok(_) => wrong.push(format!("{file} / {}: no data: {text}", query.panel)),
            Err(error) => wrong.push(format!("{file} / {}: {error}: {text}", query.panel)),
        }
    }
    say(&format!(
        "{}: {answered} queries answered with data; this host does not have {absent:?}",
        profile.name
    ));
    wrong
}

/// Whether there are series of containers, or of whatever else has the metric: under cAdvisor's names the root has some, too.
fn is_stored(prometheus: &Prometheus, profile: Profile, native: &str) -> bool {
    let name = mixin_name(profile, native);
    let is_of_containers = catalogue::get()
        .iter()
        .any(|(_, row)| row.entity == Entity::Container && row.def.prometheus_name() == native);
    let matchers = if is_of_containers && !profile.is_native() { ", name!=\"\"" } else { "" };
    // A histogram is three metrics there.
    let query = format!("count({{__name__=~\"{name}(_bucket)?\"{matchers}}})");
    prometheus.answer(&query, Over::Now).is_ok_and(|series| !series.is_empty())
}

/// What a metric is called under a profile, by its native name.
fn mixin_name(profile: Profile, native: &str) -> String {
    let row = catalogue::get().iter().find(|(_, row)| row.def.prometheus_name() == native);
    let alias = row.and_then(|(_, row)| row.def.alias(profile.name));
    alias.map_or(native, |alias| alias.name).to_owned()
}

#[test]
fn every_query_of_every_dashboard_is_answered() {
    let Some(scope) = Scope::new("dashboards") else { return };
    if !is_tried_here("every query of every dashboard is answered with data") {
        return;
    }
    let Some(disk) = Disk::new() else { return };
    let (_busy, killed) = busy(&scope, &disk);
    let record = recording::folder();
    let _company = record.as_ref().map(|_| recording::company(&scope));
    let receiver = receiver();
    let exporter = scope
        .exporter()
        .config("general", "interval = 2")
        .all_groups()
        .config("otlp", &format!("endpoint = \"http://{receiver}\"\nprotocol = \"http/protobuf\""))
        .start();
    let scrape =
        |profile: Profile| Prometheus::scraping_every(INTERVAL, exporter.address, profile.name, Format::Text);
    let (Some(native), Some(cadvisor)) = (scrape(Profile::NATIVE), scrape(CADVISOR)) else { return };
    let from = now();
    exporter.await_container(&killed.name);
    // After a scrape without the kill: what is born at 1 never increases.
    let scraped = |prometheus: &Prometheus, times: u32| {
        let enough = format!("count_over_time(up[10m]) >= {times}");
        await_within(Duration::from_secs(240), &enough, || {
            prometheus.answer(&enough, Over::Now).ok().filter(|series| !series.is_empty())
        });
    };
    scraped(&native, SCRAPES / 4);
    assert!(!killed.exec("dd if=/dev/zero of=/dev/null bs=96M count=1").0, "it is killed");
    for prometheus in [&native, &cadvisor] {
        scraped(prometheus, SCRAPES);
    }
    let wrong = [unanswered(&native, Profile::NATIVE, from), unanswered(&cadvisor, CADVISOR, from)].concat();
    assert!(wrong.is_empty(), "{} queries without an answer: {wrong:#?}", wrong.len());
    if let Some(folder) = record {
        // What follows counts containers, and has not these in mind.
        scraped(&native, recording::SCRAPES);
        let instance = native.target()["labels"]["instance"].as_str().expect("a label").to_owned();
        recording::write(&folder, &native, &recording::Names { scope: &scope, instance }, from, now());
        return;
    }

    tells_the_truth(&native, &scope);
}

/// What a panel shows now, by container where it is about one.
fn shown(prometheus: &Prometheus, file: &str, panel: &str) -> Vec<(String, f64)> {
    let mut queries = every_query(Profile::NATIVE).into_iter();
    let found = queries.find(|(of, query)| *of == file && query.panel == panel);
    let (_, query) = found.unwrap_or_else(|| panic!("no panel {panel:?} in {file}"));
    let series = prometheus.answer(&sent(&query.text), Over::Now).expect("an answer");
    let one = |series: &serde_json::Value| {
        let name = series["metric"]["container_name"].as_str().unwrap_or_default().to_owned();
        let value = series["value"][1].as_str().and_then(|text| text.parse().ok());
        (name, value.expect("a number"))
    };
    series.iter().map(one).collect()
}

/// What a person looks at first is what is the case.
fn tells_the_truth(prometheus: &Prometheus, scope: &Scope) {
    let host = |panel: &str, least: f64, most: f64| {
        let seen = shown(prometheus, "fleet.json", panel);
        assert!(seen.len() == 1 && (least..=most).contains(&seen[0].1), "{panel}: {seen:?}");
    };
    host("Hosts up", 1.0, 1.0);
    host("Hosts down", 0.0, 0.0);
    // The one that ends again and again may be between two runs.
    host("Running", 2.0, 3.0);
    host("Unhealthy", 1.0, 1.0);
    host("Restarts, 1 h", 2.0, 60.0);
    host("OOM kills, 24 h", 0.9, 1.5);
    host("Failed runs, 24 h", 2.0, 60.0);
    let of = |panel: &str, name: &str, least: f64, most: f64| {
        let seen = shown(prometheus, "container.json", panel);
        let name = scope.name(name);
        let value = seen.iter().find(|(of, _)| *of == name).map(|(_, value)| *value);
        assert!(value.is_some_and(|value| (least..=most).contains(&value)), "{panel} of {name}: {seen:?}");
    };
    of("Throttled", "web", 0.1, 1.0);
    of("CPU of limit", "web", 0.1, 1.5);
    of("Memory of limit", "web", 0.0001, 1.0);
    of("Up for", "web", 100.0, 600.0);
    of("Health", "web", 1.0, 1.0);
    of("Health", "db", 0.0, 0.0);
    of("OOM kills, 24 h", "db", 0.9, 1.5);
    of("Last exit code", "flaky", 3.0, 3.0);
    of("Restarts, 24 h", "flaky", 2.0, 60.0);
}
