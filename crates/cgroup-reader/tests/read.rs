//! Passes over trees of files: what each cgroup version gives, and what bad files and vanishing ones do.
#![cfg(all(feature = "reader", target_os = "linux"))]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use cgroup_reader::{
    Absence, At, CgroupPath, Controller, Directories, FdBudget, Field, Gone, Handle, Host, Layout, Plan,
    PsiLine, Roots, Scale, Slot, SourceKey, Table,
};
use common::{ID, Tree};

use Controller::{Blkio, Core, Cpu, Cpuacct, Hugetlb, Memory, Pids};

const SCALARS: [(&str, SourceKey); 13] = [
    (
        "cpu",
        SourceKey::both(
            At::whole(Cpuacct, "cpuacct.usage", Scale::NanosOne),
            At::key(Cpu, "cpu.stat", "usage_usec", Scale::MicrosToNanos),
        ),
    ),
    ("burst", SourceKey::v2(At::key(Cpu, "cpu.stat", "nr_bursts", Scale::One))),
    (
        "quota",
        SourceKey::both(
            At::whole(Cpu, "cpu.cfs_quota_us", Scale::MicrosToNanos),
            At::index(Cpu, "cpu.max", 0, Scale::MicrosToNanos),
        ),
    ),
    (
        "period",
        SourceKey::both(
            At::whole(Cpu, "cpu.cfs_period_us", Scale::MicrosToNanos),
            At::index(Cpu, "cpu.max", 1, Scale::MicrosToNanos),
        ),
    ),
    (
        "memory",
        SourceKey::both(
            At::whole(Memory, "memory.usage_in_bytes", Scale::One),
            At::whole(Memory, "memory.current", Scale::One),
        ),
    ),
    (
        "limit",
        SourceKey::both(
            At::whole(Memory, "memory.limit_in_bytes", Scale::One),
            At::whole(Memory, "memory.max", Scale::One),
        ),
    ),
    (
        "rss",
        SourceKey::both(
            At::key(Memory, "memory.stat", "total_rss", Scale::One),
            At::key(Memory, "memory.stat", "anon", Scale::One),
        ),
    ),
    ("failcnt", SourceKey::v1(At::whole(Memory, "memory.failcnt", Scale::One))),
    ("pids", SourceKey::same(At::whole(Pids, "pids.current", Scale::One))),
    ("hugetlb", SourceKey::same(At::whole(Hugetlb, "hugetlb.2MB.current", Scale::One))),
    ("some", SourceKey::same(At::psi("cpu.pressure", PsiLine::Some))),
    ("full", SourceKey::same(At::psi("cpu.pressure", PsiLine::Full))),
    ("total", SourceKey::same(At::system("meminfo", Field::Key("MemTotal"), Scale::KibToBytes))),
];

const IO: [(SourceKey, usize); 2] = [
    (
        SourceKey::both(
            At::column(Blkio, "blkio.throttle.io_service_bytes_recursive", "Read", Scale::One),
            At::column(Blkio, "io.stat", "rbytes", Scale::One),
        ),
        0,
    ),
    (
        SourceKey::both(
            At::column(Blkio, "blkio.throttle.io_service_bytes_recursive", "Write", Scale::One),
            At::column(Blkio, "io.stat", "wbytes", Scale::One),
        ),
        1,
    ),
];

const NETWORK: [(SourceKey, usize); 2] = [
    (SourceKey::same(At::proc("net/dev", Field::Column("rx_bytes"), Scale::One)), 0),
    (SourceKey::same(At::proc("net/dev", Field::Column("tx_bytes"), Scale::One)), 1),
];

/// A handle with its plan and readings.
struct Pass {
    plan: Plan,
    handle: Handle,
    slots: Vec<Slot>,
    tables: Vec<Table>,
}

impl Pass {
    fn open(host: &Host, pid: u32, budget: &Arc<FdBudget>) -> Pass {
        let scalars: Vec<_> = SCALARS.iter().map(|(_, key)| *key).zip(0..).collect();
        let plan = Plan::compile(host.version(), &scalars, &[(0, &IO), (1, &NETWORK)]);
        let directories = host.directories(&host.cgroup_path(pid).unwrap()).unwrap();
        let handle = Handle::open(host, &directories, host.process(pid).ok(), budget).unwrap();
        let (slots, tables) = (vec![Slot::default(); plan.slots()], vec![Table::new(); plan.tables()]);
        Pass { plan, handle, slots, tables }
    }

    fn read(&mut self) -> Result<(), Gone> {
        self.handle.read(&self.plan, &mut self.slots, &mut self.tables)
    }

    fn get(&self, name: &str) -> Slot {
        self.slots[SCALARS.iter().position(|(known, _)| *known == name).unwrap()]
    }

    fn show(&self) -> String {
        let word = |slot: Slot| match slot {
            Slot::Value(value) => value.to_string(),
            Slot::Max => "max".to_owned(),
            Slot::Absent(reason) => format!("- {reason}"),
        };
        let mut out = String::new();
        for ((name, _), slot) in SCALARS.iter().zip(&self.slots) {
            writeln!(out, "{name} {}", word(*slot)).unwrap();
        }
        for (name, table) in ["io", "network"].iter().zip(&self.tables) {
            if let Some(reason) = table.absence() {
                writeln!(out, "{name} - {reason}").unwrap();
            }
            for row in table {
                let cells: Vec<_> = row.cells.iter().map(|cell| word(*cell)).collect();
                writeln!(out, "{name} {} {}", row.key, cells.join(" ")).unwrap();
            }
        }
        out
    }
}

fn tree(layout: Layout) -> Tree {
    let tree = Tree::new(layout);
    tree.container(&format!("/docker/{ID}"));
    tree.process(42, &format!("/docker/{ID}/init.scope"), 777);
    tree.write("proc/meminfo", "MemTotal:       16 kB\nMemFree:       1 kB\n");
    tree
}

/// Reads with many descriptors, with few and with none, twice each: all must agree.
fn check(tree: &Tree) -> String {
    let host = tree.host();
    let mut seen = Vec::new();
    for descriptors in [100, 5, 0] {
        let budget = FdBudget::new(descriptors);
        let mut pass = Pass::open(&host, 42, &budget);
        for _ in 0..2 {
            pass.read().unwrap();
            seen.push(pass.show());
        }
        assert!(budget.used() <= descriptors);
        assert!(descriptors == 0 || budget.used() > 0);
        drop(pass);
        assert_eq!(budget.used(), 0, "a handle gives back what it took");
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
    seen.swap_remove(0)
}

#[test]
fn v1() {
    insta::assert_snapshot!(check(&tree(Layout::V1)), @r"
    cpu 12000
    burst - no_source_on_version
    quota max
    period 100000000
    memory 4096
    limit max
    rss 1
    failcnt - no_file
    pids 5
    hugetlb - no_controller
    some - no_controller
    full - no_controller
    total 16384
    io 254:0 1 2
    network eth0 1111 4444
    ");
}

#[test]
fn hybrid() {
    insta::assert_snapshot!(check(&tree(Layout::Hybrid)), @r"
    cpu 12000
    burst - no_source_on_version
    quota max
    period 100000000
    memory 4096
    limit max
    rss 1
    failcnt - no_file
    pids 5
    hugetlb - no_controller
    some 106000
    full 7000
    total 16384
    io 254:0 1 2
    network eth0 1111 4444
    ");
}

#[test]
fn v2() {
    insta::assert_snapshot!(check(&tree(Layout::V2)), @r"
    cpu 12000
    burst - no_key
    quota 50000000
    period 100000000
    memory 4096
    limit max
    rss 1
    failcnt - no_source_on_version
    pids - no_controller
    hugetlb - no_controller
    some 106000
    full 7000
    total 16384
    io 254:0 1 2
    network eth0 1111 4444
    ");
}

#[test]
fn bad_files_spoil_only_themselves() {
    for (text, expect) in [
        ("", Absence::Malformed),
        ("\n", Absence::Malformed),
        ("-1x\n", Absence::Malformed),
        ("-5\n", Absence::Malformed),
        ("18446744073709551615\n", Absence::Malformed),
        ("99999999999999999999999\n", Absence::Malformed),
        ("4096 4096\n", Absence::Malformed),
        ("\u{0}\u{1}\u{2}", Absence::Malformed),
    ] {
        let tree = tree(Layout::V2);
        tree.cgroup("memory", &format!("/docker/{ID}"), "memory.current", text);
        let mut pass = Pass::open(&tree.host(), 42, &FdBudget::new(100));
        pass.read().unwrap();
        assert_eq!(pass.get("memory"), Slot::Absent(expect), "{text:?}");
        assert_eq!(pass.get("cpu"), Slot::Value(12_000));
        assert_eq!(pass.get("limit"), Slot::Max);
    }
}

#[test]
fn values_move_between_passes() {
    let tree = tree(Layout::Hybrid);
    let mut pass = Pass::open(&tree.host(), 42, &FdBudget::new(100));
    pass.read().unwrap();
    let cgroup = format!("/docker/{ID}");
    tree.cgroup("cpuacct", &cgroup, "cpuacct.usage", "13000\n");
    tree.cgroup("memory", &cgroup, "memory.stat", "new 1\ntotal_rss 100\ncache 9\n");
    tree.cgroup("blkio", &cgroup, "blkio.throttle.io_service_bytes_recursive", "Total 0\n");
    pass.read().unwrap();
    assert_eq!(pass.get("cpu"), Slot::Value(13_000));
    assert_eq!(pass.get("rss"), Slot::Value(100));
    assert_eq!(pass.tables[0].absence(), Some(Absence::NotCounted));
    assert!(pass.tables[0].is_empty());
}

#[test]
fn a_file_longer_than_the_buffer_is_read_on() {
    let tree = tree(Layout::V2);
    let mut stat: String = (0..5000).map(|line| format!("key_{line} {line}\n")).collect();
    stat += "anon 77\n";
    assert!(stat.len() > 64 << 10);
    tree.cgroup("memory", &format!("/docker/{ID}"), "memory.stat", &stat);
    let mut net = "header\n".to_owned();
    for number in 0..2000 {
        writeln!(net, "veth{number}: {number} 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0").unwrap();
    }
    tree.write("proc/42/net/dev", net);
    let mut pass = Pass::open(&tree.host(), 42, &FdBudget::new(100));
    for _ in 0..2 {
        pass.read().unwrap();
        assert_eq!(pass.get("rss"), Slot::Value(77));
        assert_eq!(pass.tables[1].len(), 2000);
        assert_eq!(pass.tables[1].get("veth1999").unwrap(), [Slot::Value(1999), Slot::Value(1)]);
    }
}

#[test]
fn a_removed_cgroup_is_gone() {
    for (layout, controller, descriptors) in [
        (Layout::V2, "core", 100),
        (Layout::V2, "core", 0),
        (Layout::V1, "memory", 100),
        (Layout::Hybrid, "unified", 3),
    ] {
        let tree = tree(layout);
        let host = tree.host();
        let mut pass = Pass::open(&host, 42, &FdBudget::new(descriptors));
        pass.read().unwrap();
        let directory = tree.path(&tree.file(controller, &format!("/docker/{ID}"), ""));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(pass.read(), Err(Gone), "{layout:?}");
        assert_eq!(pass.get("some"), Slot::Absent(Absence::NotRunning));
    }
}

#[test]
fn a_cgroup_outlives_its_mount_as_far_as_it_is_kept() {
    let tree = tree(Layout::V2);
    let host = tree.host();
    let mut pass = Pass::open(&host, 42, &FdBudget::new(100));
    // This file is not there, and looked for again and again.
    let missing = tree.file("core", &format!("/docker/{ID}"), "cpu.pressure");
    fs::remove_file(tree.path(&missing)).unwrap();
    pass.read().unwrap();
    let kept = pass.get("memory");
    assert!(matches!(kept, Slot::Value(_)), "{kept:?}");
    let point = host.mount(Controller::Core).unwrap().to_owned();
    let elsewhere = point.with_extension("away");
    fs::rename(&point, &elsewhere).unwrap();
    for _ in 0..20 {
        assert_eq!((pass.read(), pass.get("memory")), (Ok(()), kept));
    }
    assert_eq!(pass.get("some"), Slot::Absent(Absence::NotReachable));
    fs::rename(&elsewhere, &point).unwrap();
    assert_eq!(pass.read(), Ok(()));
    fs::remove_dir_all(tree.path(&tree.file("core", &format!("/docker/{ID}"), ""))).unwrap();
    assert_eq!(pass.read(), Err(Gone), "and it ends as any other");
}

#[test]
fn a_cgroup_that_is_not_there_cannot_be_opened() {
    let tree = tree(Layout::V2);
    let directories = Directories::of(&tree.host(), &CgroupPath::everywhere("/docker/none"));
    assert_eq!(Handle::open(&tree.host(), &directories, None, &FdBudget::new(9)).err(), Some(Gone));
}

#[test]
fn a_missing_file_is_found_again_soon_at_first_and_later_in_the_end() {
    for (passes_without, passes_until_found) in [(1, 1..=1), (200, 2..=33)] {
        let tree = tree(Layout::V2);
        let mut pass = Pass::open(&tree.host(), 42, &FdBudget::new(100));
        for _ in 0..passes_without {
            pass.read().unwrap();
            assert_eq!(pass.get("pids"), Slot::Absent(Absence::NoController));
        }
        tree.cgroup("pids", &format!("/docker/{ID}"), "pids.current", "3\n");
        let passes = (1..100).find(|_| {
            pass.read().unwrap();
            pass.get("pids") == Slot::Value(3)
        });
        assert!(passes_until_found.contains(&passes.unwrap()), "{passes:?}");
    }
}

#[test]
fn the_network_can_be_left_out_and_ends_with_the_process() {
    let tree = tree(Layout::V2);
    let host = tree.host();
    let budget = FdBudget::new(100);
    let mut pass = Pass::open(&host, 42, &budget);
    pass.read().unwrap();
    assert_eq!(pass.tables[1].get("eth0").unwrap(), [Slot::Value(1111), Slot::Value(4444)]);
    let used = budget.used();
    pass.handle.close_network();
    assert_eq!(budget.used(), used - 1);
    pass.read().unwrap();
    assert_eq!(pass.tables[1].absence(), Some(Absence::NotRunning));
    pass.handle.set_network_absence(Some(Absence::HostNetwork));
    pass.read().unwrap();
    assert_eq!(pass.tables[1].absence(), Some(Absence::HostNetwork));
    pass.handle.set_network_absence(None);
    pass.read().unwrap();
    assert_eq!(pass.tables[1].absence(), None);

    // Another process got the pid: its network is not the container's.
    let mut unkept = Pass::open(&host, 42, &FdBudget::new(0));
    tree.process(42, "/other", 778);
    unkept.read().unwrap();
    assert_eq!(unkept.tables[1].absence(), Some(Absence::NotRunning));
}

/// They spare walks of paths while files are opened one after the other, and are of no use beyond that.
#[test]
fn directories_are_held_until_their_files_are_open() {
    for layout in [Layout::V1, Layout::Hybrid, Layout::V2] {
        let tree = tree(layout);
        let host = tree.host();
        let budget = FdBudget::new(1000);
        let mut pass = Pass::open(&host, 42, &budget);
        let directories = budget.used();
        assert!(directories > 0);
        pass.read().unwrap();
        let with_files = budget.used();
        assert!(with_files > directories);
        pass.read().unwrap();
        assert_eq!(budget.used(), with_files - directories, "{layout:?}");
        drop(pass);
        assert_eq!(budget.used(), 0);
    }
}

/// Each finds its files, whatever another has opened before, and in which order.
#[test]
fn plans_take_turns_on_one_handle() {
    let tree = tree(Layout::V2);
    let host = tree.host();
    let mut pass = Pass::open(&host, 42, &FdBudget::new(100));
    let others: Vec<(SourceKey, usize)> =
        SCALARS.iter().rev().step_by(3).map(|(_, key)| *key).zip(0..).collect();
    let other = Plan::compile(host.version(), &others, &[]);
    let mut slots = vec![Slot::default(); others.len()];
    for _ in 0..4 {
        pass.handle.read(&other, &mut slots, &mut []).unwrap();
        pass.read().unwrap();
        let expect: Vec<Slot> = pass.slots.iter().rev().step_by(3).copied().collect();
        assert_eq!(slots, expect);
    }
}

#[test]
fn a_read_that_never_returns_holds_only_its_thread() {
    let tree = tree(Layout::V2);
    let fifo = tree.path(&tree.file("memory", &format!("/docker/{ID}"), "memory.current"));
    fs::remove_file(&fifo).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    tree.container("/docker/other");
    tree.process(43, "/docker/other", 1);
    fs::create_dir_all(tree.path(&format!("sys/fs/cgroup/docker/{ID}/sub"))).unwrap();

    let host = tree.host();
    let budget = FdBudget::new(100);
    let mut stuck = Pass::open(&host, 42, &budget);
    let (started, starting) = mpsc::channel();
    let reader = thread::spawn(move || {
        started.send(()).unwrap();
        stuck.read().map(|()| stuck.get("memory"))
    });
    starting.recv().unwrap();
    let other = Directories::of(&host, &CgroupPath::everywhere("/docker/other"));
    let mut good = Handle::open(&host, &other, None, &budget).unwrap();
    let plan = Plan::compile(host.version(), &[(SCALARS[4].1, 0)], &[]);
    let mut slots = [Slot::default()];
    good.read(&plan, &mut slots, &mut []).unwrap();
    assert_eq!(slots, [Slot::Value(4096)]);
    // A writer lets it go; what it then has is no regular file.
    drop(fs::OpenOptions::new().write(true).open(&fifo).unwrap());
    assert_eq!(reader.join().unwrap(), Ok(Slot::Absent(Absence::Malformed)));
}

#[test]
fn rights_that_are_missing_are_the_reason() {
    use std::os::unix::fs::PermissionsExt;
    let tree = tree(Layout::V2);
    let file = tree.path(&tree.file("memory", &format!("/docker/{ID}"), "memory.current"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read it all the same.
    let expect = match fs::read(&file) {
        Ok(_) => Slot::Value(4096),
        Err(_) => Slot::Absent(Absence::PermissionDenied),
    };
    let mut pass = Pass::open(&tree.host(), 42, &FdBudget::new(100));
    pass.read().unwrap();
    assert_eq!(pass.get("memory"), expect);
}

#[test]
fn a_directory_in_place_of_a_file_is_malformed() {
    let tree = tree(Layout::V2);
    let file = tree.path(&tree.file("memory", &format!("/docker/{ID}"), "memory.current"));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let mut pass = Pass::open(&tree.host(), 42, &FdBudget::new(100));
    pass.read().unwrap();
    assert_eq!(pass.get("memory"), Slot::Absent(Absence::Malformed));
}

/// The kernel's own way of removing a cgroup, where rights allow to make one: kept descriptors fail with `ENODEV`, and a new
/// cgroup of the same name is another one.
#[test]
fn the_live_host_removes_a_cgroup() {
    for descriptors in [100, 1, 0] {
        let Ok(host) = Host::detect(&Roots::default()) else { return };
        let path =
            CgroupPath::everywhere(&format!("/cgroup-reader-test-{}-{descriptors}", std::process::id()));
        let directories = Directories::of(&host, &path);
        let mut made: Vec<_> = Controller::ALL.into_iter().filter_map(|one| directories.path(one)).collect();
        made.dedup();
        let make = || made.iter().filter(|directory| fs::create_dir(directory).is_ok()).count();
        let remove = || made.iter().for_each(|directory| drop(fs::remove_dir(directory)));
        if make() < made.len() {
            return remove();
        }
        let opened = Handle::open(&host, &directories, None, &FdBudget::new(descriptors));
        let stat = SourceKey::both(SCALARS[0].1.v1.unwrap(), SCALARS[0].1.v2.unwrap());
        let plan = Plan::compile(host.version(), &[(stat, 0), (SCALARS[4].1, 1)], &[(0, &IO)]);
        let (mut slots, mut tables) = ([Slot::default(); 2], [Table::new()]);
        let mut handle = opened.unwrap();
        let mut read = || handle.read(&plan, &mut slots, &mut tables).map(|()| slots[0]);
        let before = [read(), read()];
        remove();
        let removed = read();
        let again = make();
        let remade = read();
        remove();
        assert_eq!(before, [Ok(Slot::Value(0)); 2], "{descriptors}");
        assert_eq!((removed, again, remade), (Err(Gone), made.len(), Err(Gone)), "{descriptors}");
    }
}

/// This machine's own files, wherever this process stands: numbers must be what the files say.
#[test]
fn the_live_host() {
    let Ok(host) = Host::detect(&Roots::default()) else { return };
    let Ok(path) = host.cgroup_path(std::process::id()) else { return };
    let budget = FdBudget::new(50);
    let process = host.process(std::process::id()).unwrap();
    let Ok(mut handle) = Handle::open(&host, &Directories::of(&host, &path), Some(process), &budget) else {
        return;
    };
    let events = At::key(Core, "cgroup.events", "populated", Scale::One);
    // Longer than a page, and handed out by pages.
    let zones = At::system("zoneinfo", Field::Lines, Scale::One);
    let same = SourceKey::same;
    let keys =
        [(SCALARS[0].1, 0), (SCALARS[12].1, 1), (SCALARS[10].1, 2), (same(events), 3), (same(zones), 4)];
    let plan = Plan::compile(host.version(), &keys, &[(0, &NETWORK)]);
    let (mut slots, mut tables) = ([Slot::default(); 5], [Table::new()]);
    let mut before = None;
    for _ in 0..3 {
        handle.read(&plan, &mut slots, &mut tables).unwrap();
        if let Some(cpu) = slots[0].value() {
            assert!(before <= Some(cpu), "cpu time does not run backwards");
            before = Some(cpu);
        }
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let kib: u64 = meminfo.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert_eq!(slots[1], Slot::Value(kib * 1024));
        if let Ok(zoneinfo) = fs::read_to_string("/proc/zoneinfo") {
            assert_eq!(
                slots[4],
                Slot::Value(zoneinfo.lines().filter(|line| !line.is_empty()).count() as u64)
            );
        }
        assert!(slots.iter().all(|slot| slot.absence() != Some(Absence::Malformed)), "{slots:?}");
        assert!(tables[0].iter().all(|row| row.cells.iter().all(|cell| cell.value().is_some())));
        assert!(tables[0].get("lo").is_some());
    }
    assert!(host.network_namespace(std::process::id()).is_ok());
}
