//! What is counted, what is not, and the bounds.

use std::{fs, os::unix::fs::MetadataExt};

use super::*;
use crate::kernel::alone::{is_alone, may_mount_alone, mount};

fn device_of(path: &Path) -> u64 {
    fs::metadata(path).expect("metadata").dev()
}

fn target(path: &Path, device: u64) -> Target {
    Target { ways: vec![Way { from: path.to_owned(), to: PathBuf::new() }], device }
}

fn measured(path: &Path, device: u64) -> Found {
    measure(&target(path, device), &Beat::new(Instant::now()))
}

fn walked(path: &Path) -> u64 {
    measured(path, device_of(path)).used.expect("a walk")
}

#[test]
fn a_walk_counts_blocks_and_each_link_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let empty = walked(directory.path());
    let below = directory.path().join("a b\\040c");
    fs::create_dir(&below).expect("a directory");
    let with_directory = walked(directory.path());
    fs::write(below.join("file"), vec![7_u8; 1 << 20]).expect("a file");
    fs::File::open(below.join("file")).and_then(|file| file.sync_all()).expect("written");
    fs::hard_link(below.join("file"), below.join("again")).expect("a link");
    std::os::unix::fs::symlink("/usr", below.join("elsewhere")).expect("a link");
    let full = walked(directory.path());
    assert!(empty <= with_directory);
    let file = fs::metadata(below.join("file")).expect("metadata").blocks() * 512;
    assert!(file >= 1 << 20);
    let rest = full - with_directory - file;
    assert!(rest <= 8192, "{rest} bytes more than the file: a link was followed or counted twice");
    assert_eq!(walked(&below.join("file")), file, "a file that is mounted is its own size");
}

/// `du` counts the same blocks.
#[test]
fn a_walk_agrees_with_du() {
    let directory = tempfile::tempdir().expect("a directory");
    for number in 0..700 {
        let below = directory.path().join(format!("{}/{}", number % 7, number % 3));
        fs::create_dir_all(&below).expect("a directory");
        fs::write(below.join(number.to_string()), vec![1_u8; number * 11]).expect("a file");
    }
    rustix::fs::sync();
    let said = std::process::Command::new("du").args(["-s", "-x", "-B1"]).arg(directory.path()).output();
    let said = said.expect("du, of coreutils").stdout;
    let said = String::from_utf8_lossy(&said);
    let du: u64 = said.split('\t').next().and_then(|word| word.parse().ok()).expect("a number");
    assert_eq!(walked(directory.path()), du);
}

#[test]
fn the_space_is_what_statvfs_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let space = measured(directory.path(), device_of(directory.path())).space.expect("a file system");
    let said = rustix::fs::statvfs(directory.path()).expect("a file system");
    assert_eq!((space.bytes, space.inodes_total), (said.f_blocks * said.f_frsize, said.f_files));
    assert!(space.bytes_available <= space.bytes && space.inodes_free <= space.inodes_total);
}

#[test]
fn other_devices_and_what_is_gone_are_not_reached() {
    let directory = tempfile::tempdir().expect("a directory");
    let device = device_of(directory.path());
    assert_eq!(measured(directory.path(), device + 1).used, Err(Absence::NotReachable));
    assert_eq!(measured(&directory.path().join("gone"), device).used, Err(Absence::NotReachable));
}

/// As when a container swaps a directory for a link between two steps of a walk.
#[test]
fn a_link_on_the_way_leads_nowhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let (inside, outside) = (directory.path().join("in"), directory.path().join("out"));
    fs::create_dir_all(inside.join("real")).expect("a directory");
    fs::create_dir_all(outside.join("deep")).expect("a directory");
    std::os::unix::fs::symlink(&outside, inside.join("link")).expect("a link");
    let device = device_of(&inside);
    let root = open(&target(&inside, device)).expect("a directory");
    assert!(list(&root, Path::new("/real"), device).is_ok());
    for way in ["/link", "/link/deep", "/real/../../out", "/real/gone"] {
        assert!(list(&root, Path::new(way), device).is_err(), "{way}");
    }
    assert!(list(&root, Path::new("/real"), device + 1).is_err(), "on another device");
    let ways = |to: &str| Target { ways: vec![Way { from: inside.clone(), to: to.into() }], device };
    assert!(open(&ways("/real")).is_ok());
    assert_eq!(open(&ways("/link")).err(), Some(Absence::NotReachable));
    assert_eq!(open(&ways("/link/deep")).err(), Some(Absence::NotReachable));
}

#[test]
fn bounds_hold() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("file"), "").expect("a file");
    // A directory entry costs no inode: ten million would do the same.
    for number in 0..2_000 {
        fs::hard_link(directory.path().join("file"), directory.path().join(number.to_string()))
            .expect("a link");
    }
    for number in 0..20 {
        fs::create_dir(directory.path().join(format!("d{number}"))).expect("a directory");
    }
    let root = open(&target(directory.path(), device_of(directory.path()))).expect("a directory");
    let beat = Beat::new(Instant::now());
    let walk = |bounds: Bounds| walk(&root, device_of(directory.path()), &bounds, &beat);
    assert!(walk(BOUNDS).is_ok());
    assert!(walk(Bounds { entries: 2_021, ..BOUNDS }).is_ok());
    for bounds in [
        Bounds { entries: 2_020, ..BOUNDS },
        Bounds { links: 0, ..BOUNDS },
        Bounds { pending_bytes: 500, ..BOUNDS },
        Bounds { way_bytes: 3, ..BOUNDS },
        Bounds { time: Duration::ZERO, ..BOUNDS },
    ] {
        assert_eq!(walk(bounds), Err(Absence::TooMany), "{bounds:?}");
    }
}

/// A line of `/proc/self/status`, in bytes.
fn status_bytes(line: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("/proc");
    let found = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(":"));
    let kibibytes = found.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.expect("a number of kB") * 1024
}

/// However many entries there are: the default bound of ten million differs from this tree in nothing but the time it takes.
#[test]
fn a_huge_tree_takes_little_memory_and_few_descriptors() {
    if !is_alone("tree::tests::a_huge_tree_takes_little_memory_and_few_descriptors", &[]) {
        return;
    }
    const FLAT: usize = 70_000;
    const DEEP: usize = 10;
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
    // A file has a bounded number of names on many a file system.
    let file = |number: usize| directory.path().join(format!("file{number}"));
    let fill = |into: &Path, entries: usize| {
        fs::create_dir(into).expect("a directory");
        for number in 0..entries {
            let from = file(number / 10_000);
            if number.is_multiple_of(10_000) && !from.exists() {
                fs::write(&from, "x").expect("a file");
            }
            fs::hard_link(from, into.join(format!("an entry with a name of some length {number}")))
                .expect("a link");
        }
    };
    fill(&directory.path().join("flat"), FLAT);
    for number in 0..DEEP {
        fill(&directory.path().join(number.to_string()), FLAT / DEEP);
    }
    let device = device_of(directory.path());
    let root = open(&target(directory.path(), device)).expect("a directory");
    let beat = Beat::new(Instant::now());
    let opened = fs::read_dir("/proc/self/fd").expect("/proc").count() as u64;
    // The walk needs a directory, the one above it, and what lists it.
    let limit = rustix::process::Rlimit { current: Some(opened + 4), maximum: Some(opened + 4) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("a limit");
    let before = status_bytes("VmRSS");
    let whole = walk(&root, device, &BOUNDS, &beat);
    let grown = status_bytes("VmHWM").saturating_sub(before);
    assert!(whole.is_ok(), "{whole:?}");
    assert!(grown < 3 << 20, "{grown} bytes for {} entries", 2 * FLAT);
    let few = Bounds { entries: 2 * BATCH, ..BOUNDS };
    assert_eq!(walk(&root, device, &few, &beat), Err(Absence::TooMany));
}

/// Ways may be longer than any path that the kernel takes at once: each directory in such a place would take as much memory,
/// and as many steps.
#[test]
fn a_way_that_is_too_long_is_not_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let device = device_of(directory.path());
    let name = "n".repeat(255);
    let mut at = open(&target(directory.path(), device)).expect("a directory");
    for depth in 1..=20 {
        rustix::fs::mkdirat(&at, &*name, Mode::RWXU).expect("a directory");
        at = rustix::fs::openat(&at, &*name, OFlags::PATH, Mode::empty()).expect("a directory");
        let expect = if depth * 256 <= BOUNDS.way_bytes { Ok(()) } else { Err(Absence::TooMany) };
        assert_eq!(measured(directory.path(), device).used.map(|_| ()), expect, "{depth}");
    }
}

/// What is bound into a tree is not of it, though it is on the same device, a directory or a file.
#[test]
fn what_is_mounted_in_a_tree_is_not_counted() {
    if !may_mount_alone("tree::tests::what_is_mounted_in_a_tree_is_not_counted") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let at = |path: &str| directory.path().join(path);
    for path in ["in/bound", "in/memory", "out/deep"] {
        fs::create_dir_all(at(path)).expect("a directory");
    }
    fs::write(at("in/file"), "").expect("a file");
    for path in ["in/own", "out/deep/big"] {
        fs::write(at(path), vec![1_u8; 1 << 20]).expect("a file");
    }
    rustix::fs::sync();
    let before = walked(&at("in"));
    assert!((1 << 20..2 << 20).contains(&before), "{before}");
    mount(directory.path(), &["--bind", "out", "in/bound"]);
    mount(directory.path(), &["--bind", "out/deep/big", "in/file"]);
    mount(directory.path(), &["-t", "tmpfs", "none", "in/memory"]);
    fs::write(at("in/memory/big"), vec![1_u8; 1 << 20]).expect("a file");
    std::os::unix::fs::symlink("../out", at("in/link")).expect("a link");
    let after = walked(&at("in"));
    let mount_points = 2 * 4096;
    assert!(after <= before && before - after <= mount_points, "{before} and {after}");
}
