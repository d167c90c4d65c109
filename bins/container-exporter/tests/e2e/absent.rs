//! What cannot be measured is absent, and `container_exporter_metric_absent` says why.

use crate::harness::{Kernel, Scope, skip};

#[test]
fn a_controller_that_is_not_mounted_leaves_its_series_out() {
    let Some(scope) = Scope::new("unmounted") else { return };
    let containers = [scope.sleeper("one", &[]), scope.sleeper("two", &[])];
    let Some(pids) = mount_of(&containers[0].kernel(), "pids") else { return };
    let all = scope.exporter().all_groups().start();
    let page = all.await_container(&containers[0].name);
    assert_eq!(page.of("container_threads", &containers[0].name).map(|threads| threads >= 1.0), Some(true));
    assert_eq!(page.absent("pids", "no_controller"), 0.0);

    // In a mount namespace of the exporter's own, so that nobody else misses anything.
    let exporter = scope.exporter().all_groups().with_mounts(&format!("umount -l {pids}")).start();
    for container in &containers {
        let page = exporter.await_container(&container.name);
        assert_eq!(page.of("container_threads", &container.name), None);
        assert_eq!(page.of("container_threads_max", &container.name), None);
        let memory = page.of("container_memory_usage_bytes", &container.name);
        assert!(memory.is_some_and(|bytes| bytes > 0.0), "the other controllers are there: {memory:?}");
    }
    let page = exporter.scrape();
    let reasons = page.all("container_exporter_metric_absent", &[("group", "pids")]);
    assert_eq!(page.absent("pids", "no_controller"), 2.0, "{reasons:?}");
}

#[test]
fn a_file_that_is_not_there_leaves_its_series_out() {
    let Some(scope) = Scope::new("nofile") else { return };
    let container = scope.sleeper("one", &[]);
    let kernel = container.kernel();
    if kernel.is_v2() {
        // One mount holds all controllers' files, and none of them can be taken away.
        return;
    }
    let exporter = scope.exporter().all_groups().start();
    let page = exporter.await_container(&container.name);
    assert!(page.of("container_memory_rss", &container.name).is_some());
    for name in
        ["container_cpu_weight", "container_memory_events_high_total", "container_memory_pgscan_total"]
    {
        assert_eq!(page.of(name, &container.name), None, "{name} has no source on cgroup v1");
    }
    for group in ["cpu", "memory"] {
        assert_eq!(page.absent(group, "no_source_on_version"), 1.0, "group {group}");
    }
    let Some(hidden) = kernel.pressure_mount() else { return };
    let exporter = scope.exporter().all_groups().with_mounts(&format!("umount -l {hidden}")).start();
    let page = exporter.await_container(&container.name);
    let pressure = page.lines.iter().filter(|line| line.name.starts_with("container_pressure_"));
    assert_eq!(pressure.count(), 0);
    let reasons = page.all("container_exporter_metric_absent", &[("group", "pressure")]);
    assert!(
        reasons.iter().any(|line| line.value == 1.0),
        "nothing says why there is no pressure: {reasons:?}"
    );
}

/// Where a controller has a mount of its own; elsewhere it cannot be away alone.
fn mount_of(kernel: &Kernel, controller: &str) -> Option<String> {
    if kernel.is_v2() {
        // That is no gap: fixture trees show it there, and skipping would fail every run on such a host.
        return None;
    }
    let directory = kernel.directory(controller)?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let points =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|point| directory.starts_with(point));
    points.max_by_key(|point| point.len()).map(str::to_owned).or_else(|| skip("the controller has no mount"))
}
