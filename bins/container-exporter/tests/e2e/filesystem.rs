//! The writable layer: what its next walk finds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Scope, assert_near};
use crate::numbers::table::{layer, layer_directory};

const USED: &str = "container_fs_usage_bytes";
const MIB: f64 = 1024.0 * 1024.0;

#[test]
fn ten_mebibytes_written_are_found_by_the_next_walk() {
    let Some(scope) = Scope::new("layer") else { return };
    let container = scope.sleeper("grows", &[]);
    let bystander = scope.sleeper("other", &[]);
    if layer_directory(&container.kernel()).is_none() {
        _ = crate::harness::skip::<()>("the engine's storage has no overlay with a directory of its own");
        return;
    }
    let exporter = scope.exporter().config("metrics", "filesystem_interval = 1").start();
    let first = exporter.await_page("the first walk", |page| page.of(USED, &container.name));
    let other = exporter.await_page("the first walk of the other", |page| page.of(USED, &bystander.name));
    let (ok, said) =
        container.exec("dd if=/dev/zero of=/big bs=1M count=10 && mkdir /d && echo x >/d/small && sync");
    assert!(ok, "{said}");
    let grown = exporter.await_page("a walk finds the file", |page| {
        page.of(USED, &container.name).filter(|bytes| *bytes >= first + 10.0 * MIB)
    });
    assert_near("growth", grown - first, 10.0 * MIB, 64.0 * 1024.0);
    assert_eq!(exporter.scrape().of(USED, &bystander.name), Some(other));
    assert!(container.exec("rm -r /big /d && sync").0);
    let end = Instant::now() + Duration::from_secs(30);
    exporter.await_page("a walk finds it gone", |page| {
        assert!(
            Instant::now() < end,
            "the layer takes {:?}, at first {first}",
            page.of(USED, &container.name)
        );
        page.of(USED, &container.name).filter(|bytes| *bytes <= first + 64.0 * 1024.0)
    });
}

#[test]
fn a_layer_is_not_walked_again_before_its_time() {
    let Some(scope) = Scope::new("interval") else { return };
    let container = scope.sleeper("grows", &[]);
    if layer_directory(&container.kernel()).is_none() {
        _ = crate::harness::skip::<()>("the engine's storage has no overlay with a directory of its own");
        return;
    }
    let exporter = scope.exporter().config("metrics", "filesystem_interval = 3600").start();
    let first = exporter.await_page("the first walk", |page| page.of(USED, &container.name));
    assert!(container.exec("dd if=/dev/zero of=/big bs=1M count=10 && sync").0);
    for _ in 0..20 {
        assert_eq!(exporter.scrape().of(USED, &container.name), Some(first));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn free_inodes_are_those_of_the_disk_under_the_layer() {
    let Some(scope) = Scope::new("inodes") else { return };
    let container = scope.sleeper("one", &[]);
    let kernel = container.kernel();
    if layer(&kernel).is_none() {
        _ = crate::harness::skip::<()>("the engine's storage has no overlay with a directory of its own");
        return;
    }
    // It is asked for now and then only, and others make and remove files: the answer is one of those since the start.
    let done = AtomicBool::new(false);
    let free = || layer(&kernel).expect("it runs").f_ffree;
    let (shown, seen) = std::thread::scope(|threads| {
        let watch = threads.spawn(|| {
            let mut seen = (free(), free());
            while !done.load(Ordering::Relaxed) {
                let now = free();
                seen = (seen.0.min(now), seen.1.max(now));
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        let exporter = scope.exporter().start();
        let shown =
            exporter.await_page("free inodes", |page| page.of("container_fs_inodes_free", &container.name));
        done.store(true, Ordering::Relaxed);
        (shown, watch.join().expect("it watched"))
    });
    assert!(
        (seen.0 as f64..=seen.1 as f64).contains(&shown),
        "{shown} free inodes, which is not one of {seen:?}"
    );
}

/// The mount's size is what `du` says, its file system what `statvfs` says, the log as long as its file.
#[test]
fn a_bind_mount_and_the_log_have_the_kernels_sizes() {
    let Some(scope) = Scope::new("mounts") else { return };
    let folder = tempfile::tempdir().expect("a directory");
    let inside = folder.path().join("a b");
    std::fs::create_dir(&inside).expect("a directory");
    std::fs::write(inside.join("file"), vec![1_u8; 3 << 20]).expect("a file");
    std::os::unix::fs::symlink("/usr", inside.join("elsewhere")).expect("a link");
    assert!(std::process::Command::new("sync").status().expect("sync, of coreutils").success());
    let bind = format!("{}:/data dir", inside.display());
    let container = scope.run("bound", &["-v", &bind], "echo said; sleep 100000");
    let exporter = scope.exporter().all_groups().config("metrics", "filesystem_interval = 1").start();
    let labels = [("container_name", container.name.as_str()), ("mount", "/data dir")];
    let page = exporter.await_page("the walk over the mount", |page| {
        page.value("container_mount_usage_bytes", &labels).map(|_| page.clone())
    });
    let said = |program: &str, arguments: &[&str]| -> Vec<f64> {
        let said = std::process::Command::new(program).args(arguments).arg(&inside).output();
        let said = said.unwrap_or_else(|error| panic!("failed to run {program}: {error}")).stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        said.split_whitespace().map_while(|word| word.parse().ok()).collect()
    };
    assert_eq!(page.value("container_mount_usage_bytes", &labels), Some(said("du", &["-sxB1"])[0]));
    let space = said("stat", &["-f", "-c", "%b %S %c"]);
    assert_eq!(page.value("container_mount_limit_bytes", &labels), Some(space[0] * space[1]));
    assert_eq!(page.value("container_mount_inodes", &labels), Some(space[2]));
    let log = container.inspect("{{.LogPath}}");
    match std::fs::metadata(log.trim()) {
        Ok(log) => {
            let bytes = log.len() as f64;
            assert_eq!(page.of("container_log_size_bytes", &container.name), Some(bytes));
        }
        Err(_) => {
            crate::harness::leave_out("the engine keeps no file of its log", "container_log_size_bytes")
        }
    }
}
