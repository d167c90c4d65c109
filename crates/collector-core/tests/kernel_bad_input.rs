//! Files as they should not be, files that are not there, and a read that never ends: a good container is never lost to a bad
//! one, and what cannot be known is absent with its reason.
#![cfg(all(feature = "kernel", target_os = "linux"))]

mod kernel_support;

use std::{fs, time::Duration};

use collector_core::{
    Absence, Group, Groups, Reading, Request,
    catalogue::{Dimension, RowId, ids},
};
use kernel_support::{Machine, absent, cells, dump, reading, sample};
use rustix::fs::{CWD, FileType, Mode, mknodat};

const MALFORMED: Reading = Reading::Absent(Absence::Malformed);
const NO_KEY: Reading = Reading::Absent(Absence::NoKey);

/// The lines of one container in the text of a snapshot.
fn lines_of(text: &str, name: &str) -> Vec<String> {
    let mark = format!("{{container={name:?}");
    text.lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
}

/// A machine whose `web` is spoilt so shows the same of `plain` as before.
async fn check(machine: &Machine, file: (&str, &str), content: &str, expect: &[(RowId, Reading)]) {
    let (controller, file) = file;
    let path = machine.tree.path(&format!("{}/{file}", machine.cgroup(controller, "web")));
    let before = fs::read(&path).expect("a file of the tree");
    let good = lines_of(&dump::text(&*machine.settled().await), "plain");
    machine.write(controller, "web", file, content);
    let snapshot = machine.collect(Groups::all()).await;
    for (row, expect) in expect {
        assert_eq!(reading(&snapshot, "web", *row), *expect, "{file} {content:?}");
    }
    assert_eq!(lines_of(&dump::text(&snapshot), "plain"), good, "{file} {content:?}");
    fs::write(&path, before).expect("a file of the tree");
}

#[tokio::test]
async fn spoilt_files_cost_their_own_numbers_only() {
    let machine = Machine::start("v2-6.12").await;
    let before = machine.settled().await;
    let usage = reading(&before, "web", ids::MEMORY_USAGE);
    let untouched = (ids::MEMORY_USAGE, usage);
    let current = ("memory", "memory.current");
    for bad in [
        "",
        "\n",
        "-1x",
        "-5\n",
        "18446744073709551615\n",
        "99999999999999999999999\n",
        "12 34\n",
        "\u{fffd}",
    ] {
        let rows = [
            (ids::MEMORY_USAGE, MALFORMED),
            (ids::MEMORY_WORKING_SET, MALFORMED),
            (ids::MEMORY_USAGE_PERCENT, MALFORMED),
        ];
        check(&machine, current, bad, &rows).await;
    }
    let stat = ("memory", "memory.stat");
    check(&machine, stat, "", &[untouched, (ids::MEMORY_RSS, MALFORMED), (ids::MEMORY_CACHE, MALFORMED)])
        .await;
    check(
        &machine,
        stat,
        "anon 5\nfi",
        &[untouched, (ids::MEMORY_RSS, Reading::int(5)), (ids::MEMORY_CACHE, NO_KEY)],
    )
    .await;
    check(
        &machine,
        stat,
        "a_new_key 3\nanon -7\nfile 18446744073709551615\nkernel\ninactive_file 0\n",
        &[
            untouched,
            (ids::MEMORY_RSS, MALFORMED),
            (ids::MEMORY_CACHE, MALFORMED),
            (ids::MEMORY_KERNEL, MALFORMED),
            (ids::MEMORY_WORKING_SET, usage),
            (ids::MEMORY_PGFAULT, NO_KEY),
        ],
    )
    .await;
    // The limit is not known, so neither is what depends on it; a usage without a limit still is.
    for bad in ["", "x\n", "-1x\n"] {
        let rows = [
            untouched,
            (ids::MEMORY_LIMIT, MALFORMED),
            (ids::MEMORY_SPEC_LIMIT, MALFORMED),
            (ids::MEMORY_USAGE_PERCENT, MALFORMED),
        ];
        check(&machine, ("memory", "memory.max"), bad, &rows).await;
    }
    check(&machine, ("memory", "memory.low"), "max\n", &[(ids::MEMORY_SPEC_RESERVATION, Reading::Max)]).await;
    check(
        &machine,
        ("cpu", "cpu.max"),
        "50000\n",
        &[(ids::CPU_SPEC_PERIOD, MALFORMED), (ids::CPU_LIMIT, MALFORMED)],
    )
    .await;
    check(
        &machine,
        ("cpu", "cpu.max"),
        "x 100000\n",
        &[(ids::CPU_SPEC_QUOTA, MALFORMED), (ids::CPU_LIMIT, MALFORMED)],
    )
    .await;
    check(
        &machine,
        ("cpu", "cpu.stat"),
        "usage_usec 9223372036854775807\n",
        &[(ids::CPU_USAGE, MALFORMED), (ids::CPU_USER, NO_KEY)],
    )
    .await;
    check(
        &machine,
        ("cpu", "cpu.stat"),
        "usage_usec 9000000000000000000\nuser_usec 1\n",
        &[(ids::CPU_USAGE, MALFORMED)],
    )
    .await;
    check(
        &machine,
        ("core", "cpu.pressure"),
        "some avg10=0.00 tot",
        &[(ids::PRESSURE_CPU_WAITING, MALFORMED), (ids::PRESSURE_CPU_STALLED, NO_KEY)],
    )
    .await;
    check(&machine, ("pids", "pids.max"), "max\n", &[(ids::THREADS_MAX, Reading::int(0))]).await;
}

#[tokio::test]
async fn spoilt_io_lines_cost_their_own_cells_only() {
    let machine = Machine::start("v2-6.12").await;
    machine.settled().await;
    let io =
        "65:240 rbytes=-1 wbytes=7 rios=18446744073709551615 wios\nx:y rbytes=1\n65:240\n garbage\n\u{0}\n";
    machine.write("io", "web", "io.stat", io);
    let snapshot = machine.collect(Groups::all()).await;
    let of = |row| cells(sample(&snapshot, "web"), row);
    let zero = ("/dev/vda".to_owned(), Reading::int(0));
    assert_eq!(of(ids::FS_READS_BYTES), [("/dev/sdaf".to_owned(), MALFORMED), zero.clone()]);
    assert_eq!(of(ids::FS_WRITES_BYTES), [("/dev/sdaf".to_owned(), Reading::int(7)), zero.clone()]);
    assert_eq!(of(ids::FS_READS), [("/dev/sdaf".to_owned(), MALFORMED), zero]);
}

#[tokio::test]
async fn files_and_controllers_that_are_missing_say_why() {
    let machine = Machine::start("v2-6.12").await;
    machine.settled().await;
    let web = machine.cgroup("memory", "web");
    machine.write("core", "web", "cgroup.controllers", "cpu memory\n");
    machine.tree.remove(&format!("{web}/pids.current"));
    machine.tree.remove(&format!("{web}/memory.peak"));
    machine.tree.remove(&format!("{web}/io.stat"));
    // The kept descriptors would still serve the old files: a new sampler has none.
    let Machine { tree, processes, .. } = machine;
    let machine = Machine::watch(tree, processes).await;
    let snapshot = machine.collect(Groups::all()).await;
    let no_controller = Reading::Absent(Absence::NoController);
    assert_eq!(reading(&snapshot, "web", ids::THREADS), no_controller);
    assert_eq!(reading(&snapshot, "web", ids::MEMORY_MAX_USAGE), Reading::Absent(Absence::NoFile));
    assert_eq!(sample(&snapshot, "web").table(Dimension::Device).absence, Some(Absence::NoController));
    assert!(sample(&snapshot, "web").table(Dimension::Device).entries.is_empty());
    for (group, reason) in [
        (Group::Pids, Absence::NoController),
        (Group::Io, Absence::NoController),
        (Group::Memory, Absence::NoFile),
    ] {
        assert_eq!(absent(&snapshot, group, reason), 1, "{group:?} {reason:?}");
    }
}

#[tokio::test]
async fn a_v1_controller_that_is_not_mounted_is_absent() {
    let (tree, processes) = Machine::unpack("v1-5.4");
    tree.remove("sys/fs/cgroup/pids");
    tree.remove("sys/fs/cgroup/blkio");
    let machine = Machine::watch(tree, processes).await;
    let snapshot = machine.settled().await;
    let no_controller = Absence::NoController;
    assert_eq!(reading(&snapshot, "web", ids::THREADS), Reading::Absent(no_controller));
    assert_eq!(sample(&snapshot, "web").table(Dimension::Device).absence, Some(no_controller));
    assert_eq!(absent(&snapshot, Group::Pids, no_controller), 3);
    assert_eq!(absent(&snapshot, Group::Io, no_controller), 3);
    assert!(reading(&snapshot, "web", ids::MEMORY_USAGE).value().is_some());
}

#[tokio::test]
async fn a_directory_that_goes_between_two_reads_takes_nobody_along() {
    for host in ["v2-6.12", "v1-5.4"] {
        let machine = Machine::start(host).await;
        let before = machine.settled().await;
        let good = lines_of(&dump::text(&before), "plain");
        let controllers: &[&str] =
            if host.starts_with("v2") { &["core"] } else { &["memory", "cpu", "blkio", "pids"] };
        for controller in controllers {
            machine.tree.remove(&machine.cgroup(controller, "web"));
        }
        let snapshot = machine.collect(Groups::all()).await;
        let gone = Reading::Absent(Absence::NotRunning);
        assert_eq!(reading(&snapshot, "web", ids::MEMORY_USAGE), gone, "{host}");
        assert_eq!(sample(&snapshot, "web").table(Dimension::Interface).absence, Some(Absence::NotRunning));
        assert_eq!(lines_of(&dump::text(&snapshot), "plain"), good, "{host}");
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_said_to_be_so() {
    let (tree, processes) = Machine::unpack("v2-6.12");
    let memory = format!("sys/fs/cgroup/docker/{}/memory.current", kernel_support::id("web"));
    tree.remove(&memory);
    // A file that can only be written, which sysfs refuses to read even for root.
    std::os::unix::fs::symlink("/sys/bus/platform/drivers_probe", tree.path(&memory)).expect("a link");
    let machine = Machine::watch(tree, processes).await;
    let snapshot = machine.settled().await;
    assert_eq!(reading(&snapshot, "web", ids::MEMORY_USAGE), Reading::Absent(Absence::PermissionDenied));
    assert_eq!(absent(&snapshot, Group::Memory, Absence::PermissionDenied), 1);
    assert!(reading(&snapshot, "plain", ids::MEMORY_USAGE).value().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_never_ends_costs_its_container_only() {
    let (tree, processes) = Machine::unpack("v2-6.12");
    let path = tree.path(&format!("sys/fs/cgroup/docker/{}/memory.current", kernel_support::id("web")));
    fs::remove_file(&path).expect("a file of the tree");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    let machine = Machine::watch(tree, processes).await;
    let deadline = Duration::from_millis(1500);
    let began = std::time::Instant::now();
    let snapshot = machine.collector.collect(Request::new(Groups::all()).deadline(deadline)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "the deadline holds: {:?}", began.elapsed());
    assert_eq!(reading(&snapshot, "web", ids::MEMORY_USAGE), Reading::Absent(Absence::Timeout));
    assert_eq!(reading(&snapshot, "web", ids::CPU_USAGE), Reading::Absent(Absence::Timeout));
    for name in ["side", "plain"] {
        let read = reading(&snapshot, name, ids::MEMORY_USAGE);
        assert!(read.value().is_some(), "{name}: {read:?}");
    }
    assert_eq!(absent(&snapshot, Group::Memory, Absence::Timeout), 1);
    assert_eq!(snapshot.host.get(ids::SCRAPE_ERROR), Reading::int(1));
    // Whoever waits for a writer is let go by one, so that no thread outlives the test.
    drop(fs::OpenOptions::new().read(true).write(true).open(&path));
}
