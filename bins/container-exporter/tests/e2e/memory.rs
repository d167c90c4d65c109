//! Limits of memory: the container's own, those above it, the host's.

use std::path::{Path, PathBuf};

use crate::harness::{Kernel, Scope};
use crate::numbers::table::{host_memory, memory_limit};

#[test]
fn a_limit_of_64m_is_67108864() {
    let Some(scope) = Scope::new("limit") else { return };
    let container = scope.sleeper("64m", &["-m", "64m"]);
    let exporter = scope.exporter().start();
    let page = exporter.await_container(&container.name);
    assert_eq!(page.of("container_spec_memory_limit_bytes", &container.name), Some(67_108_864.0));
    assert_eq!(page.of("container_memory_limit_bytes", &container.name), Some(67_108_864.0));
}

#[test]
fn without_a_limit_the_hosts_memory_is_effective() {
    let Some(scope) = Scope::new("nolimit") else { return };
    let container = scope.sleeper("free", &[]);
    let exporter = scope.exporter().start();
    let page = exporter.await_container(&container.name);
    assert_eq!(page.of("container_spec_memory_limit_bytes", &container.name), Some(0.0));
    // On most hosts the host's own; a host that limits what runs on it says so above the container.
    let effective = memory_limit(&container.kernel());
    assert_eq!(page.of("container_memory_limit_bytes", &container.name), effective);
    assert!(effective.is_some_and(|bytes| bytes <= host_memory()));
}

#[test]
fn the_smallest_limit_above_a_container_is_effective() {
    let Some(scope) = Scope::new("above") else { return };
    // A slice, where systemd makes the cgroups: its name has no path.
    let systemd = scope.cli(&["info", "-f", "{{.CgroupDriver}}"]) == "systemd";
    let name = scope.name("p").replace('-', "");
    let parent = if systemd { format!("{name}.slice") } else { format!("/{name}") };
    let _parent = Parent(parent.clone());
    // The first makes the parent be there, so that its limit stands before the second is seen.
    let first = scope.sleeper("first", &["--cgroup-parent", &parent]);
    let limit = 96 * 1024 * 1024;
    limit_parent(&first.kernel(), limit);
    let free = scope.sleeper("free", &["--cgroup-parent", &parent]);
    let tighter = scope.sleeper("tighter", &["--cgroup-parent", &parent, "-m", "64m"]);
    let exporter = scope.exporter().start();
    let page = exporter.await_container(&free.name);
    assert_eq!(page.of("container_spec_memory_limit_bytes", &free.name), Some(0.0));
    assert_eq!(page.of("container_memory_limit_bytes", &free.name), Some(f64::from(limit)));
    let page = exporter.await_container(&tighter.name);
    assert_eq!(page.of("container_memory_limit_bytes", &tighter.name), Some(67_108_864.0));
    let working_set = page.of("container_memory_working_set_bytes", &free.name).expect("it runs");
    let percent = page.of("container_memory_usage_percent", &free.name).expect("it runs");
    crate::harness::assert_near("percent", percent, working_set / f64::from(limit) * 100.0, 1e-6);
}

fn limit_parent(kernel: &Kernel, bytes: i32) {
    let own = kernel.directory("memory").expect("memory is counted");
    let file = if kernel.is_v2() { "memory.max" } else { "memory.limit_in_bytes" };
    let path = own.parent().expect("it has a parent").join(file);
    std::fs::write(&path, bytes.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// What the engine made for `--cgroup-parent`, which it leaves behind where systemd does not take it away.
struct Parent(String);

impl Drop for Parent {
    fn drop(&mut self) {
        let name = self.0.trim_start_matches('/');
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts
            .lines()
            .filter(|line| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup")));
        for directory in points.filter_map(|line| Some(PathBuf::from(line.split(' ').nth(1)?).join(name))) {
            remove(&directory);
        }
    }
}

fn remove(directory: &Path) {
    // The container is removed, the last of its processes may be on its way out.
    for _ in 0..40 {
        if !directory.exists() || std::fs::remove_dir(directory).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
