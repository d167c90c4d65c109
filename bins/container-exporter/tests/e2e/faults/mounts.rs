//! The cgroup file system goes, and comes back: in a mount namespace of the exporter's own, so that nobody else sees it.

use std::process::Command;

use super::{USED, source};
use crate::harness::{Exporter, Scope, Setup, skip};

const UP: &str = "container_exporter_cgroups_up";

/// Keeps what is mounted at `/sys/fs/cgroup` elsewhere, so that it can be brought back.
const KEEP: &str = "mkdir -p \"$KEPT\"; mount --rbind /sys/fs/cgroup \"$KEPT\"";
const TAKE_AWAY: &str = "umount --lazy --recursive /sys/fs/cgroup";
const BRING_BACK: &str = "mount --rbind \"$KEPT\" /sys/fs/cgroup";

/// Runs a script in an exporter's mount namespace.
#[track_caller]
fn in_namespace(exporter: &Exporter, kept: &std::path::Path, script: &str) {
    let pid = exporter.pid().to_string();
    let ran = Command::new("nsenter")
        .args(["--target", &pid, "--mount", "sh", "-ec", script])
        .env("KEPT", kept)
        .output()
        .expect("nsenter runs");
    assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn told(exporter: &Exporter, what: &str) -> usize {
    exporter.log().lines().filter(|line| line.contains(what)).count()
}

/// An exporter in a mount namespace of its own, after `script` there; `None` where none can be had.
fn start(setup: Setup, kept: &std::path::Path, script: &str) -> Option<Exporter> {
    let allowed = Command::new("unshare").args(["--mount", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return skip("no mount namespace can be had");
    }
    let kept = kept.display();
    Some(setup.with_mounts(&format!("KEPT='{kept}'\n{KEEP}\n{script}")).start())
}

#[test]
fn cgroups_that_are_unmounted_are_told_and_taken_up_again() {
    let Some(scope) = Scope::new("unmounted") else { return };
    let kept = tempfile::tempdir().expect("a directory");
    let first = scope.run("first", &["--cpus", "0.2"], "while :; do :; done");
    let Some(exporter) = start(scope.exporter(), kept.path(), "") else { return };
    let page = exporter.await_container(&first.name);
    assert_eq!(page.expect(UP, &[]), 1.0);
    in_namespace(&exporter, kept.path(), TAKE_AWAY);
    let page = exporter.scrape();
    assert_eq!(page.expect(UP, &[]), 0.0, "from the very next scrape on");
    // Open files outlive the mount.
    let used = page.of(USED, &first.name).expect("its files are open");
    exporter.await_page("the numbers of what was there stay fresh", |page| {
        (page.of(USED, &first.name)? > used).then_some(())
    });
    let second = scope.sleeper("second", &[]);
    let page = exporter.await_page("the new one is shown without numbers", |page| {
        let shown = !page.all("container_info", &[("container_name", &second.name)]).is_empty();
        (shown && page.absent("cpu", "not_reachable") >= 1.0).then(|| page.clone())
    });
    assert_eq!((page.of(USED, &second.name), source(&page, "up")), (None, 1.0), "the engine is well");
    assert_eq!(told(&exporter, "failed to find a cgroup file system"), 1, "{}", exporter.log());

    in_namespace(&exporter, kept.path(), BRING_BACK);
    let page = exporter.await_container(&second.name);
    assert_eq!(page.expect(UP, &[]), 1.0);
    assert!(page.of(USED, &first.name) > Some(used), "it went on all the time");
    assert_eq!(page.absent("cpu", "not_reachable"), 0.0);
    assert_eq!(told(&exporter, "cgroups are mounted (again)"), 1, "{}", exporter.log());
    assert_eq!(told(&exporter, "failed to find a cgroup file system"), 1, "{}", exporter.log());
    assert_eq!(super::exits(&page), 0.0, "nothing has ended");
}

#[test]
fn cgroups_that_are_mounted_only_after_the_start_are_found() {
    let Some(scope) = Scope::new("mountedlate") else { return };
    let kept = tempfile::tempdir().expect("a directory");
    let container = scope.sleeper("one", &[]);
    let Some(exporter) = start(scope.exporter(), kept.path(), TAKE_AWAY) else { return };
    let page = exporter.await_page("it is shown without numbers", |page| {
        let shown = !page.all("container_info", &[("container_name", &container.name)]).is_empty();
        shown.then(|| page.clone())
    });
    assert_eq!((page.expect(UP, &[]), page.of(USED, &container.name)), (0.0, None));
    assert_eq!(told(&exporter, "failed to find a cgroup file system"), 1, "{}", exporter.log());
    in_namespace(&exporter, kept.path(), BRING_BACK);
    let page = exporter.await_container(&container.name);
    assert_eq!(page.expect(UP, &[]), 1.0);
    // Its end is seen by the tree and the pidfd as with any other.
    container.remove();
    exporter.await_page("its end is counted", |page| (super::exits(page) == 1.0).then_some(()));
    assert_eq!(told(&exporter, "cgroups are mounted (again)"), 1, "{}", exporter.log());
}
