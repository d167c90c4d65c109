//! Containers of sandboxed runtimes: what the host's cgroup has of them is not theirs, and is never shown.

use test_support::engine::Answer;

use super::made::Made;
use crate::harness::{Page, tells_time};

/// What an engine makes of a cgroup in which nothing is counted.
const ZEROS: &str = r#"{"read":"2026-11-21T10:06:41Z","pids_stats":{"current":0},"cpu_stats":{"cpu_usage":{"total_usage":0,
    "usage_in_kernelmode":0,"usage_in_usermode":0},"online_cpus":2},"memory_stats":{"usage":0,"limit":1073741824,"stats":
    {"total_cache":0,"total_inactive_file":0,"inactive_file":0}}}"#;
/// What a runtime's own shim tells of its sandbox.
const NUMBERS: &str = r#"{"read":"2026-11-21T10:06:41Z","pids_stats":{"current":3},"cpu_stats":{"cpu_usage":{"total_usage":
    2500000000}},"memory_stats":{"usage":12345678,"limit":1073741824}}"#;

const CPU: &str = "container_cpu_usage_seconds_total";
const MEMORY: &str = "container_memory_usage_bytes";

/// The counted series of a container.
fn counted(page: &Page, id: &str) -> Vec<String> {
    let of_it = page.lines.iter().filter(|line| line.label("container_id") == &id[..12]);
    let is_counted = |name: &str| {
        [
            "cpu_usage",
            "cpu_user",
            "cpu_system",
            "memory_",
            "threads",
            "pressure_",
            "network_",
            "blkio_",
            "fs_",
        ]
        .iter()
        .any(|part| name.strip_prefix("container_").is_some_and(|rest| rest.starts_with(part)))
    };
    of_it.filter(|line| is_counted(&line.name)).map(|line| format!("{} {}", line.name, line.value)).collect()
}

#[test]
fn what_the_host_counts_of_a_sandbox_is_never_shown() {
    let Some(mut made) = Made::new() else { return };
    let plain = made.start();
    made.run_by("io.containerd.runsc.v1");
    let (silent, zeros, told) = (made.start(), made.start(), made.start());
    made.give_numbers(&zeros, ZEROS);
    made.give_numbers(&told, NUMBERS);
    let exporter = made.setup().config("general", "interval = 1").start();
    let value = |page: &Page, name, id: &str| page.value(name, &[("container_id", &id[..12])]);
    let page = exporter.await_page("the sandbox that tells of itself has numbers", |page| {
        assert_eq!(
            counted(page, &silent),
            Vec::<String>::new(),
            "its cgroup has numbers, which are not its own"
        );
        assert_eq!(counted(page, &zeros), Vec::<String>::new(), "zeros are nobody's");
        let all = value(page, CPU, &told).is_some() && page.absent("memory", "sandboxed_runtime") >= 2.0;
        all.then(|| page.clone())
    });
    assert_eq!(
        counted(&page, &silent),
        Vec::<String>::new(),
        "its cgroup has numbers, which are not its own"
    );
    assert_eq!(counted(&page, &zeros), Vec::<String>::new(), "zeros are nobody's");
    assert_eq!(value(&page, CPU, &told), Some(2.5));
    assert_eq!(value(&page, MEMORY, &told), Some(12_345_678.0));
    assert!(value(&page, "container_sample_age_seconds", &told).is_some());
    assert_eq!(value(&page, "container_threads", &plain), Some(1.0), "others are the kernel's");
    assert_eq!(value(&page, "container_sample_age_seconds", &plain), None);
    for id in [&silent, &zeros, &told] {
        let running = [("container_id", &id[..12]), ("state", "running")];
        assert_eq!(page.value("container_state", &running), Some(1.0), "who they are is known");
    }
    // One that an event tells of.
    let late = made.start();
    let page = exporter.await_page("it is absent, too", |page| {
        (page.absent("memory", "sandboxed_runtime") >= 3.0).then(|| page.clone())
    });
    assert_eq!(counted(&page, &late), Vec::<String>::new());
}

#[test]
fn a_container_that_was_only_listed_has_no_numbers_before_its_inspect() {
    let Some(mut made) = Made::new() else { return };
    let id = made.start();
    made.answer_inspect(&id, Answer::Never);
    let exporter = made.setup().config("general", "interval = 1").start();
    let is_listed = |page: &Page| {
        page.value("container_state", &[("container_id", &id[..12]), ("state", "running")]) == Some(1.0)
    };
    if tells_time("that a page is read within the ten seconds that an inspect has") {
        exporter.await_page("it waits", |page| {
            (is_listed(page) && page.absent("memory", "not_inspected") > 0.0).then(|| {
                assert_eq!(counted(page, &id), Vec::<String>::new(), "its runtime may be a sandbox");
            })
        });
    }
    // The engine never answers: most runtimes keep a container in its cgroup.
    let page = exporter.await_page("it has numbers", |page| {
        page.value("container_threads", &[("container_id", &id[..12])]).map(|_| page.clone())
    });
    assert_eq!(page.absent("memory", "not_inspected"), 0.0);
}
