//! Block I/O: 16 MiB written past the page cache show exactly, on that device of that cgroup.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::{Scope, skip};
use crate::numbers::table::by_device;

const WRITTEN: &str = "container_fs_writes_bytes_total";
const WRITES: &str = "container_fs_writes_total";
const READ: &str = "container_fs_reads_bytes_total";
const MIB: f64 = 1024.0 * 1024.0;

#[test]
fn sixteen_mebibytes_past_the_cache_show_exactly_there() {
    let Some(scope) = Scope::new("io") else { return };
    let Some(disk) = Disk::new() else { return };
    let device = format!("--device={}", disk.path);
    let options = [device.as_str()];
    let writer = scope.sleeper("writer", &options);
    let other = scope.sleeper("other", &options);
    let exporter = scope.exporter().start();
    exporter.await_container(&writer.name);
    exporter.await_container(&other.name);
    let kernel = writer.kernel();
    let write = || {
        let script = format!("dd if=/dev/zero of={} bs=1M count=16 oflag=direct 2>&1", disk.path);
        let (ok, said) = writer.exec(&script);
        assert!(ok, "{said}");
    };

    if !kernel.is_v2() {
        // v1 counts on a disk only from its first throttle rule on, and this one has never had one.
        write();
        let page = exporter.scrape();
        assert!(page.all(WRITTEN, &[("device", &disk.path)]).is_empty(), "0 would be a lie");
        assert!(page.absent("io", "not_counted") >= 1.0 || counts_layers_disk(), "nothing says why");
        let rule = format!("--device-write-bps={}:1tb", disk.path);
        scope.sleeper("throttled", &[&device, &rule]).remove();
    }
    let value = |metric: &str, name: &str| {
        let labels = [("container_name", name), ("device", disk.path.as_str())];
        exporter.scrape().value(metric, &labels)
    };
    let before = value(WRITTEN, &writer.name).unwrap_or(0.0);
    assert_eq!(before, 0.0, "what was not counted is not made up for");
    write();
    assert_eq!(value(WRITTEN, &writer.name), Some(16.0 * MIB));
    assert_eq!(value(READ, &writer.name), Some(0.0));
    assert!(value(WRITES, &writer.name).is_some_and(|writes| writes >= 16.0));
    write();
    assert_eq!(value(WRITTEN, &writer.name), Some(32.0 * MIB));
    assert_eq!(value(WRITTEN, &other.name).unwrap_or(0.0), 0.0, "the other has written nothing");
    let (ok, said) = other.exec(&format!("dd if={} of=/dev/null bs=1M count=4 iflag=direct 2>&1", disk.path));
    assert!(ok, "{said}");
    assert_eq!(value(READ, &other.name), Some(4.0 * MIB));
    assert_eq!(value(READ, &writer.name), Some(0.0));
    assert_eq!(value(WRITTEN, &other.name).unwrap_or(0.0), 0.0, "what is read is not written");

    // On other devices the writer has what the kernel says: with a loop device, what that does for it.
    let kernels = by_device(&kernel, "blkio.throttle.io_service_bytes_recursive", "Write", "wbytes");
    for line in exporter.scrape().all(WRITTEN, &[("container_name", &writer.name)]) {
        let there = kernels.iter().find(|(device, _)| device == line.label("device"));
        assert_eq!(line.value, there.map_or(0.0, |(_, bytes)| *bytes), "{line:?}");
    }
    let line = kernels.iter().find(|(device, _)| *device == disk.path);
    assert_eq!(line.map(|(_, bytes)| *bytes), Some(32.0 * MIB), "the kernel itself");
}

/// On v1: has any disk but ours had a throttle rule since boot, so that layers' disks may be counted?
fn counts_layers_disk() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let blkio =
        mounts.lines().find(|line| line.split(' ').nth(3).is_some_and(|options| options.contains("blkio")));
    let Some(point) = blkio.and_then(|line| line.split(' ').nth(1)) else { return false };
    let text =
        std::fs::read_to_string(PathBuf::from(point).join("blkio.throttle.io_service_bytes_recursive"));
    text.is_ok_and(|text| text.lines().any(|line| line.contains("Write")))
}

/// A block device that nothing else uses; dropping it detaches it.
pub(crate) struct Disk {
    pub(crate) path: String,
    _file: Option<tempfile::NamedTempFile>,
}

impl Disk {
    /// A loop device that was never used since boot: no disk has a throttle rule from before.
    pub(crate) fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if let Ok(path) = std::env::var("CONTAINER_EXPORTER_E2E_DISK") {
            return Some(Self { path, _file: None });
        }
        let file = tempfile::NamedTempFile::new_in("/var/tmp").expect("a file can be made");
        file.as_file().set_len(32 * 1024 * 1024).expect("it can be sparse");
        // Numbers that others take come from below; no two tests, nor two runs at a time, take the same.
        let number = 1000 + 4 * std::process::id() + COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/dev/loop{number}");
        let made = Command::new("losetup").arg(&path).arg(file.path()).output();
        match made {
            Ok(output) if output.status.success() => Some(Self { path, _file: Some(file) }),
            Ok(output) => skip(format!("no loop device: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => skip(format!("no loop device: losetup: {error}")),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self._file.is_some() {
            _ = Command::new("losetup").args(["-d", &self.path]).status();
        }
    }
}
