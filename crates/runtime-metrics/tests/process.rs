//! The process metrics against what the kernel's own files say of this process.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prometheus::core::Collector;
use prometheus::proto::MetricType;
use prometheus::{Registry, TextEncoder};
use runtime_metrics::{ProcessCollector, RuntimeMetrics};

fn values(collector: &ProcessCollector) -> BTreeMap<String, f64> {
    let value = |family: prometheus::proto::MetricFamily| {
        let metric = &family.get_metric()[0];
        let value = match family.get_field_type() {
            MetricType::COUNTER => metric.get_counter().get_value(),
            _ => metric.get_gauge().get_value(),
        };
        (family.name().to_owned(), value)
    };
    collector.collect().into_iter().map(value).collect()
}

fn status(key: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("the key");
    line.trim_start_matches(':').trim_end_matches("kB").trim().parse().expect("a number")
}

/// Seconds of user and system time, from the ticks of `/proc/self/stat`.
fn cpu_by_ticks() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a command").1.split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

fn burn(seconds: f64) {
    let collector = ProcessCollector::new();
    let start = values(&collector)["process_cpu_seconds_total"];
    while values(&collector)["process_cpu_seconds_total"] < start + seconds {}
}

#[test]
fn cpu_is_the_kernels_to_the_tick_and_finer() {
    let collector = ProcessCollector::new();
    burn(0.3);
    let (before, ours, after) =
        (cpu_by_ticks(), values(&collector)["process_cpu_seconds_total"], cpu_by_ticks());
    // utime and stime are cut to whole ticks, each.
    let tick = 1.0 / rustix::param::clock_ticks_per_second() as f64;
    assert!(before - tick <= ours && ours <= after + 2.0 * tick, "{before} {ours} {after}");

    // Work of well under a second shows.
    let readings: Vec<f64> = (0..20)
        .map(|_| {
            burn(0.000_1);
            values(&collector)["process_cpu_seconds_total"]
        })
        .collect();
    assert!(readings.is_sorted_by(|a, b| a < b), "{readings:?}");
}

#[test]
fn gauges_are_the_kernels() {
    let collector = ProcessCollector::new();
    // Other tests of this process run meanwhile, so the kernel is asked until it says the same before and after.
    let same = |name: &str, ask: &dyn Fn() -> f64| {
        let agreed = (0..1_000).any(|_| {
            let (before, ours, after) = (ask(), values(&collector)[name], ask());
            before == after && ours == before
        });
        assert!(agreed, "{name}: ours {}, the kernel's {}", values(&collector)[name], ask());
    };
    same("process_virtual_memory_bytes", &|| status("VmSize") * 1024.0);
    same("process_threads", &|| status("Threads"));
    same("process_open_fds", &|| fs::read_dir("/proc/self/fd").expect("procfs").count() as f64 - 1.0);
    same("process_max_fds", &|| {
        let limits = fs::read_to_string("/proc/self/limits").expect("procfs");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("the limit");
        line.split_whitespace().nth(3).expect("a soft limit").parse().expect("a number")
    });
    // The kernel keeps resident pages per CPU or thread and sums them now and then.
    let agreed = (0..1_000).any(|_| {
        let (ours, kernels) = (values(&collector)["process_resident_memory_bytes"], status("VmRSS") * 1024.0);
        ours > 500_000.0 && (ours - kernels).abs() <= 512.0 * 1024.0
    });
    assert!(agreed, "resident memory {:?} {}", values(&collector), status("VmRSS"));
}

#[test]
fn memory_and_descriptors_move() {
    let collector = ProcessCollector::new();
    let before = values(&collector);
    let memory = vec![1_u8; 64 << 20];
    let files: Vec<fs::File> = (0..50).map(|_| fs::File::open("/dev/null").expect("a file")).collect();
    let after = values(&collector);
    assert!(memory.contains(&1));
    let risen = |name: &str| after[name] - before[name];
    assert!(risen("process_resident_memory_bytes") > f64::from(60 << 20));
    assert!((40.0..100.0).contains(&risen("process_open_fds")), "{}", risen("process_open_fds"));
    drop(files);
}

#[test]
fn start_time_is_between_boot_and_now_and_stands_still() {
    let collector = ProcessCollector::new();
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs_f64();
    let start = values(&collector)["process_start_time_seconds"];
    // btime is cut to a second.
    assert!(start <= now + 1.0 && start > now - 600.0, "{start} {now}");
    assert_eq!(values(&collector)["process_start_time_seconds"], start);
}

#[test]
fn a_fixture_is_read_and_what_is_missing_is_absent() {
    let root = tempfile::tempdir().expect("a directory");
    let names = |collector: &ProcessCollector| values(collector).into_keys().collect::<Vec<_>>();
    let by_syscall = ["process_cpu_seconds_total", "process_max_fds"];
    assert_eq!(names(&ProcessCollector::with_proc_root(root.path())), by_syscall);
    assert_eq!(names(&ProcessCollector::with_proc_root(Path::new("/nonexistent"))), by_syscall);

    fs::create_dir(root.path().join("self")).expect("a directory");
    let stat = "7 (x y) S 1 2 3 0 -1 4 5 6 7 8 90 10 0 0 20 0 9 0 4200 1048576 256 18446744073709551615\n";
    fs::write(root.path().join("self/stat"), stat).expect("a file");
    let collector = ProcessCollector::with_proc_root(root.path());
    let got = values(&collector);
    assert_eq!(got["process_threads"], 9.0);
    assert_eq!(got["process_virtual_memory_bytes"], 1_048_576.0);
    assert_eq!(got["process_resident_memory_bytes"], 256.0 * rustix::param::page_size() as f64);
    assert_eq!((got.get("process_open_fds"), got.get("process_start_time_seconds")), (None, None));

    // What appears later is found, and the start time stays when the clock is set.
    fs::write(root.path().join("stat"), "cpu 1\nbtime 1000\n").expect("a file");
    let start = 1_000.0 + 4_200.0 / rustix::param::clock_ticks_per_second() as f64;
    assert_eq!(values(&collector)["process_start_time_seconds"], start);
    fs::write(root.path().join("stat"), "cpu 1\nbtime 2000\n").expect("a file");
    assert_eq!(values(&collector)["process_start_time_seconds"], start);
    fs::write(root.path().join("self/stat"), "").expect("a file");
    assert_eq!(names(&collector), by_syscall);
}

#[test]
fn the_page_has_the_client_libraries_words() {
    let registry = Registry::new();
    RuntimeMetrics::builder().process(true).register(&registry).expect("an empty registry");
    let page = TextEncoder::new().encode_to_string(&registry.gather()).expect("a page");
    let comments: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(
        comments,
        [
            "# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.",
            "# TYPE process_cpu_seconds_total counter",
            "# HELP process_max_fds Maximum number of open file descriptors.",
            "# TYPE process_max_fds gauge",
            "# HELP process_open_fds Number of open file descriptors.",
            "# TYPE process_open_fds gauge",
            "# HELP process_resident_memory_bytes Resident memory size in bytes.",
            "# TYPE process_resident_memory_bytes gauge",
            "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.",
            "# TYPE process_start_time_seconds gauge",
            "# HELP process_threads Number of OS threads in the process.",
            "# TYPE process_threads gauge",
            "# HELP process_virtual_memory_bytes Virtual memory size in bytes.",
            "# TYPE process_virtual_memory_bytes gauge",
        ]
    );
    let again = RuntimeMetrics::builder().process(true).register(&registry).expect_err("registered already");
    assert_eq!(
        again.to_string(),
        "failed to register the process metrics; register each kind once per registry"
    );
    assert!(RuntimeMetrics::builder().register(&registry).is_ok(), "nothing chosen, nothing to refuse");
}
