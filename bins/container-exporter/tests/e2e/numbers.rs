//! Every value of a container's own is the kernel's: its file read just before and just after the scrape.
//!
//! Which file and key that is stands here a second time, by hand, so that a wrong row of the catalogue is seen. Counters must
//! lie between the two readings; gauges must equal both as soon as both agree.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::harness::{Container, Exporter, Kernel, Page, Scope, await_until, leave_out, program, tells_time};

mod keyed;
mod network;
mod processes;
pub(crate) mod table;

use table::{Kind, Reading, readings};

/// Metrics of containers that the table leaves out, and who looks at them instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("container_info", "all in its labels: lifecycle.rs"),
    ("container_start_time_seconds", "the engine's word: what_the_engine_says_of_times_is_shown, below"),
    ("container_creation_time_seconds", "the engine's word: what_the_engine_says_of_times_is_shown, below"),
    ("container_state", "the engine's word: lifecycle.rs"),
    ("container_health_state", "the engine's word: lifecycle.rs"),
    ("container_finished_time_seconds", "the engine's word, of stopped containers: lifecycle.rs"),
    ("container_exit_code", "the engine's word, of stopped containers: lifecycle.rs"),
    ("container_engine_restarts", "the engine's word: lifecycle.rs"),
    ("container_restarts_total", "kept by the exporter: restarts.rs"),
    ("container_oom_events_total", "kept by the exporter: oom.rs"),
    ("container_last_seen", "the time of the scrape: seen_now, below"),
    ("container_cpu_usage_percent", "over a time: cpu.rs"),
    ("container_sample_age_seconds", "of engines elsewhere only: `remote`"),
    (
        "container_memory_numa_pages",
        "cAdvisor's name for container_memory_numa_bytes: collector-core's kernel_golden.rs",
    ),
    ("container_cpu_schedstat_run_seconds_total", WAITS),
    ("container_cpu_schedstat_runqueue_seconds_total", WAITS),
    ("container_cpu_schedstat_run_periods_total", WAITS),
    ("container_fs_inodes_free", "kept for some seconds: filesystem.rs"),
    ("container_fs_usage_bytes", "found by a walk: filesystem.rs"),
    ("container_gpu_memory_usage_bytes", GPUS),
    ("container_gpu_usage_percent", GPUS),
    ("container_gpu_encoder_usage_percent", GPUS),
    ("container_gpu_decoder_usage_percent", GPUS),
    ("container_gpu_processes", GPUS),
    ("container_accelerator_memory_total_bytes", GPUS),
    ("container_accelerator_memory_used_bytes", GPUS),
    ("container_accelerator_duty_cycle", GPUS),
    ("container_fs_usage_age_seconds", "the time since that walk: filesystem.rs"),
    ("container_mount_usage_bytes", MOUNTS),
    ("container_mount_limit_bytes", MOUNTS),
    ("container_mount_available_bytes", MOUNTS),
    ("container_mount_inodes", MOUNTS),
    ("container_mount_inodes_free", MOUNTS),
    ("container_mount_age_seconds", MOUNTS),
    ("container_log_size_bytes", "the size of a file of the engine: filesystem.rs"),
    (
        "container_network_udp_usage_total",
        "in the cadvisor profile only, the numbers of container_network_udp_*",
    ),
    (
        "container_network_udp6_usage_total",
        "in the cadvisor profile only, the numbers of container_network_udp6_*",
    ),
    (
        "container_network_advance_tcp_stats_total",
        "in the cadvisor profile only, the numbers of container_netstat_tcp_*",
    ),
    (
        "container_blkio_device_usage_total",
        "in the cadvisor profile only, the numbers of container_fs_*_bytes_total",
    ),
];

/// The kernel does not know them.
const MOUNTS: &str = "found by a walk over a volume or bind mount: filesystem.rs";
const WAITS: &str =
    "counted from the first scrape on: waits_for_a_cpu_rise_as_the_kernel_counts_them, in processes.rs";
const GPUS: &str = "with a library in the place of NVIDIA's: crates/gpu-reader/tests/stand_in.rs";

/// Work that leaves something in most files, in the file system and on the loopback.
const WORK: &str = "dd if=/dev/zero of=/file bs=1M count=8 2>/dev/null; cat /file /file | md5sum; \
    i=0; while [ $i -lt 300 ]; do i=$((i+1)); /bin/true; done; ";

#[test]
fn a_limited_container_that_has_worked_shows_the_kernels_values() {
    let Some(scope) = Scope::new("worked") else { return };
    let options = [
        "-m",
        "64m",
        "--memory-swap",
        "64m",
        "--memory-reservation",
        "32m",
        "--cpus",
        "0.2",
        "--cpu-shares",
        "512",
        "--pids-limit",
        "50",
        "--network",
        "bridge",
    ];
    let container = scope.run("limited", &options, &format!("{WORK} touch /done; sleep 100000"));
    crate::harness::await_until("the work is done", || container.exec("test -e /done").0.then_some(()));
    let exporter = scope.exporter().all_groups().start();
    exporter.await_container(&container.name);
    let compared = compare(&exporter, &container);
    // Zeros are easily equal; these are not zero here.
    for name in [
        "container_cpu_usage_seconds_total",
        "container_cpu_user_seconds_total",
        "container_cpu_system_seconds_total",
        "container_cpu_cfs_periods_total",
        "container_memory_usage_bytes",
        "container_memory_rss",
        "container_memory_cache",
        "container_memory_failures_total",
        "container_threads",
    ] {
        assert!(compared.get(name).is_some_and(|value| *value > 0.0), "{name} is not proven: {compared:#?}");
    }
    if tells_time("that a container with a fifth of a core was throttled, and for how long") {
        for name in ["container_cpu_cfs_throttled_periods_total", "container_cpu_cfs_throttled_seconds_total"]
        {
            assert!(compared[name] > 0.0, "{name} is not proven: {compared:#?}");
        }
    }
    if !compared.contains_key("container_pressure_cpu_waiting_seconds_total") {
        leave_out("this kernel counts no pressure", "container_pressure_*");
    }
    assert_eq!(compared["container_spec_memory_limit_bytes"], 67_108_864.0);
    assert_eq!(compared["container_memory_limit_bytes"], 67_108_864.0);
    assert_eq!(compared["container_threads_max"], 50.0);
    assert_eq!(compared["container_cpu_limit_cores"], 0.2);
    assert_eq!(compared["container_spec_cpu_quota"], 20_000.0);
}

#[test]
fn an_unlimited_container_shows_the_kernels_values() {
    let Some(scope) = Scope::new("unlimited") else { return };
    let container = scope.sleeper("free", &[]);
    let exporter = scope.exporter().all_groups().start();
    exporter.await_container(&container.name);
    let compared = compare(&exporter, &container);
    assert_eq!(compared["container_spec_memory_limit_bytes"], 0.0);
    assert!(!compared.contains_key("container_spec_cpu_quota"), "an unlimited container has a quota");
}

#[test]
fn counters_of_a_busy_container_lie_between_two_readings() {
    let Some(scope) = Scope::new("busy") else { return };
    let script = "while :; do dd if=/dev/zero of=/file bs=64k count=16 2>/dev/null; /bin/true; done";
    let container = scope.run("loop", &["--cpus", "0.3"], script);
    let exporter = scope.exporter().all_groups().start();
    exporter.await_container(&container.name);
    let kernel = container.kernel();
    for _ in 0..20 {
        let before = readings(&kernel);
        let page = exporter.scrape();
        let after = readings(&kernel);
        check_counters(&container, &before, &page, &after);
    }
}

#[test]
fn what_the_engine_says_of_times_is_shown() {
    let Some(scope) = Scope::new("times") else { return };
    let container = scope.sleeper("one", &[]);
    let exporter = scope.exporter().all_groups().start();
    let page = exporter.await_container(&container.name);
    for (name, template) in [
        ("container_start_time_seconds", "{{.State.StartedAt}}"),
        ("container_creation_time_seconds", "{{.Created}}"),
    ] {
        let date = container.inspect(template);
        let shown = page.of(name, &container.name).unwrap_or_else(|| panic!("no {name}"));
        crate::harness::assert_near(name, shown, table::unix_seconds(&date), 1e-6);
    }
}

#[test]
fn seen_now() {
    let Some(scope) = Scope::new("seen") else { return };
    let container = scope.sleeper("one", &[]);
    let exporter = scope.exporter().all_groups().start();
    exporter.await_container(&container.name);
    let now = || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs_f64()
    };
    let before = now();
    let seen =
        exporter.scrape().of("container_last_seen", &container.name).expect("a running container is seen");
    assert!((before..=now()).contains(&seen), "seen at {seen}, which is not between {before} and {}", now());
}

/// Their names begin like a container's.
const OF_NO_CONTAINER: &[&str] = &["container_count", "container_scrape_error"];

#[test]
fn every_metric_of_containers_is_compared_or_has_a_reason() {
    // It needs no engine, but belongs to the others, who are run with one.
    if Scope::new("catalogue").is_none() {
        return;
    }
    let output = Command::new(program()).args(["metrics", "--format", "json"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a list");
    let catalogue: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row["name"].as_str())
        .filter(|name| name.starts_with("container_") && !name.starts_with("container_exporter_"))
        .filter(|name| !OF_NO_CONTAINER.contains(name))
        // Those with a dot leave by OTLP only, and sink-otlp's tests look at them.
        .filter(|name| !name.contains('.'))
        .collect();
    assert!(catalogue.len() > 60, "the catalogue is hardly all there: {catalogue:?}");
    let here: BTreeSet<&str> = table::names().chain(ELSEWHERE.iter().map(|(name, _)| *name)).collect();
    let unproven: Vec<_> = catalogue.difference(&here).collect();
    assert!(
        unproven.is_empty(),
        "add to numbers/table.rs, or to ELSEWHERE with the test that proves it: {unproven:?}"
    );
    let unknown: Vec<_> = here.difference(&catalogue).collect();
    assert!(unknown.is_empty(), "no longer in the catalogue: {unknown:?}");
}

/// Compares everything within ten scrapes; the values by name, the greatest where there are several.
#[track_caller]
pub(crate) fn compare(exporter: &Exporter, container: &Container<'_>) -> BTreeMap<&'static str, f64> {
    let kernel: Kernel = container.kernel();
    let mut compared = BTreeMap::new();
    let mut unequal: Vec<String> = Vec::new();
    for _ in 0..10 {
        // Looks into processes and sockets have a time that a slow guest may have spent; it grows again.
        let (before, page) = await_until("a collection with time for all", || {
            let before = readings(&kernel);
            let page = exporter.scrape();
            let cut: f64 =
                ["processes", "network_detail"].map(|group| page.absent(group, "too_many")).iter().sum();
            (cut == 0.0).then_some((before, page))
        });
        let after = readings(&kernel);
        check_counters(container, &before, &page, &after);
        check_nothing_else(container, &page, &after);
        unequal.clear();
        for (first, second) in before.iter().zip(&after) {
            assert_eq!(
                (first.name, &first.labels),
                (second.name, &second.labels),
                "the files changed their form"
            );
            let shown = shown(&page, container, first);
            if first.kind == Kind::Gauge && first.value == second.value {
                assert!(
                    is_same(shown, first.value),
                    "{}{:?}: {shown}, the kernel says {}",
                    first.name,
                    first.labels,
                    first.value
                );
            } else if first.kind == Kind::Gauge && !compared.contains_key(first.name) {
                unequal
                    .push(format!("{}{:?}: {} and {}", first.name, first.labels, first.value, second.value));
                continue;
            }
            let greatest = compared.entry(first.name).or_insert(shown);
            *greatest = greatest.max(shown);
        }
        if unequal.is_empty() {
            return compared;
        }
    }
    panic!("never the same before and after a scrape: {unequal:#?}");
}

#[track_caller]
fn check_counters(container: &Container<'_>, before: &[Reading], page: &Page, after: &[Reading]) {
    for first in before.iter().filter(|reading| reading.kind == Kind::Counter) {
        let second = after.iter().find(|second| second.name == first.name && second.labels == first.labels);
        let upper = second.unwrap_or_else(|| panic!("{} is gone", first.name)).value;
        let shown = shown(page, container, first);
        assert!(
            (first.value <= shown && shown <= upper) || is_same(shown, first.value) || is_same(shown, upper),
            "{}{:?}: {shown}, which is not from {} to {upper}",
            first.name,
            first.labels,
            first.value
        );
        let family = page.types.get(first.name).map(String::as_str);
        assert_eq!(family, Some("counter"), "the type of {}", first.name);
    }
}

/// What the kernel has no reading of is not on the page: another device, another interface, a file of the other version.
#[track_caller]
fn check_nothing_else(container: &Container<'_>, page: &Page, after: &[Reading]) {
    let names: BTreeSet<&str> = table::names().collect();
    for line in page.lines.iter().filter(|line| line.label("container_name") == container.name) {
        if !names.contains(line.name.as_str()) {
            continue;
        }
        let is_it = |reading: &&Reading| {
            reading.name == line.name && reading.labels.iter().all(|(name, value)| line.label(name) == value)
        };
        // A disk on which counting is known to be on is there before the first byte.
        let is_idle_disk = line.value == 0.0 && line.name.starts_with("container_fs_");
        assert!(
            is_idle_disk || after.iter().any(|reading| is_it(&reading)),
            "the kernel says nothing of {line:?}"
        );
    }
}

#[track_caller]
fn shown(page: &Page, container: &Container<'_>, reading: &Reading) -> f64 {
    let mut labels =
        vec![("container_name", container.name.as_str()), ("container_id", container.short_id())];
    labels.extend(reading.labels.iter().map(|(name, value)| (*name, value.as_str())));
    page.expect(reading.name, &labels)
}

/// Equal but for the last digits of a division.
fn is_same(shown: f64, kernel: f64) -> bool {
    (shown - kernel).abs() <= kernel.abs() * 1e-9
}
