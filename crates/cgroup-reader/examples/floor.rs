//! Compares a pass with a bare loop of `pread` over the same files: `cargo run --release -p cgroup-reader --example floor --
//! [CGROUPS] [PASSES]`.
//!
//! Reads containers' cgroups, or, where there are too few, makes its own below the root and removes them at the end (which
//! takes rights).
#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use cgroup_reader::{
    At, CgroupPath, Controller, Directories, FdBudget, Field, Handle, Host, Place, Plan, PsiLine, Roots,
    Scale, Slot, SourceKey, Table, Version, scan,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let cgroups: usize = arguments.next().map_or(Ok(100), |word| word.parse())?;
    let passes: usize = arguments.next().map_or(Ok(300), |word| word.parse())?;
    cgroup_reader::raise_fd_limit()?;
    let host = Host::detect(&Roots::default())?;
    let mut paths: Vec<String> = scan(&host).into_iter().map(|found| found.path).take(cgroups).collect();
    let made = make(&host, cgroups - paths.len(), &mut paths);
    let result = compare(&host, &paths, passes);
    for directory in made.iter().rev() {
        fs::remove_dir(directory)?;
    }
    result
}

/// Makes cgroups in every hierarchy until there are enough, as far as rights go.
fn make(host: &Host, missing: usize, paths: &mut Vec<String>) -> Vec<PathBuf> {
    let mut made = Vec::new();
    for number in 0..missing {
        let path = format!("/floor-{}-{number}", std::process::id());
        let directories = Directories::of(host, &CgroupPath::everywhere(&path));
        let mut all: Vec<_> = Controller::ALL.into_iter().filter_map(|one| directories.path(one)).collect();
        all.dedup();
        made.extend(all.into_iter().filter(|directory| fs::create_dir(directory).is_ok()));
        paths.push(path);
    }
    made
}

fn compare(host: &Host, paths: &[String], passes: usize) -> Result<(), Box<dyn Error>> {
    let scalars: Vec<(SourceKey, usize)> = keys(host.version()).into_iter().zip(0..).collect();
    let io = io_columns(host.version());
    let plan = Plan::compile(host.version(), &scalars, &[(0, &io)]);
    let budget = FdBudget::new(paths.len() * 64);
    let mut slots = vec![Slot::default(); plan.slots()];
    let mut tables = vec![Table::new(); plan.tables()];
    let mut handles = Vec::new();
    let mut files: Vec<File> = Vec::new();
    for path in paths {
        let directories = Directories::of(host, &CgroupPath::everywhere(path));
        let mut handle = Handle::open(host, &directories, None, &budget)?;
        handle.read(&plan, &mut slots, &mut tables)?;
        handles.push(handle);
        for place in plan.places() {
            let Place::Cgroup(controller, name) = place else { continue };
            if let Some(Ok(file)) = directories.path(controller).map(|path| File::open(path.join(name))) {
                files.push(file);
            }
        }
    }

    let mut buffer = vec![0; 16 << 10];
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    // Alternating, so that both see the same machine.
    for _ in 0..passes {
        let start = cpu_time();
        for file in &files {
            black_box(file.read_at(&mut buffer, 0)?);
        }
        floor.push(cpu_time() - start);
        let start = cpu_time();
        for handle in &mut handles {
            handle.read(&plan, &mut slots, &mut tables)?;
            black_box(&slots);
        }
        ours.push(cpu_time() - start);
    }
    let (floor, ours) = (median(&mut floor), median(&mut ours));
    println!(
        "{} cgroups ({}), {} files, {} numbers each",
        paths.len(),
        host.layout().as_str(),
        files.len(),
        scalars.len()
    );
    println!(
        "bare pread {floor:.1?}, a pass {ours:.1?}, ratio {:.3}",
        ours.as_secs_f64() / floor.as_secs_f64()
    );
    Ok(())
}

/// CPU time of this thread, so that a busy machine disturbs little.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn keys(version: Version) -> Vec<SourceKey> {
    use Controller::{Cpu, Cpuacct, Memory, Pids};
    let memory: &[&str] = match version {
        Version::V1 => &[
            "total_cache",
            "total_rss",
            "total_mapped_file",
            "total_dirty",
            "total_writeback",
            "total_swap",
            "total_pgfault",
            "total_pgmajfault",
            "total_inactive_anon",
            "total_active_anon",
            "total_inactive_file",
            "total_active_file",
            "total_unevictable",
        ],
        Version::V2 => &[
            "anon",
            "file",
            "kernel",
            "file_mapped",
            "file_dirty",
            "file_writeback",
            "inactive_anon",
            "active_anon",
            "inactive_file",
            "active_file",
            "unevictable",
            "pgfault",
            "pgmajfault",
        ],
    };
    let same = SourceKey::same;
    let mut keys: Vec<_> =
        memory.iter().map(|name| same(At::key(Memory, "memory.stat", name, Scale::One))).collect();
    for file in ["cpu.pressure", "memory.pressure", "io.pressure"] {
        keys.extend([same(At::psi(file, PsiLine::Some)), same(At::psi(file, PsiLine::Full))]);
    }
    keys.extend(["nr_periods", "nr_throttled"].map(|name| same(At::key(Cpu, "cpu.stat", name, Scale::One))));
    keys.push(same(At::whole(Pids, "pids.current", Scale::One)));
    keys.push(same(At::whole(Pids, "pids.max", Scale::One)));
    match version {
        Version::V1 => keys.extend([
            same(At::whole(Cpuacct, "cpuacct.usage", Scale::NanosOne)),
            same(At::key(Cpuacct, "cpuacct.stat", "user", Scale::UserHzToNanos)),
            same(At::key(Cpuacct, "cpuacct.stat", "system", Scale::UserHzToNanos)),
            same(At::whole(Memory, "memory.usage_in_bytes", Scale::One)),
            same(At::whole(Memory, "memory.limit_in_bytes", Scale::One)),
            same(At::whole(Memory, "memory.failcnt", Scale::One)),
        ]),
        Version::V2 => keys.extend([
            same(At::key(Cpu, "cpu.stat", "usage_usec", Scale::MicrosToNanos)),
            same(At::key(Cpu, "cpu.stat", "user_usec", Scale::MicrosToNanos)),
            same(At::key(Cpu, "cpu.stat", "system_usec", Scale::MicrosToNanos)),
            same(At::whole(Memory, "memory.current", Scale::One)),
            same(At::whole(Memory, "memory.max", Scale::One)),
            same(At::key(Memory, "memory.events", "oom_kill", Scale::One)),
        ]),
    }
    keys
}

fn io_columns(version: Version) -> [(SourceKey, usize); 2] {
    let (file, columns) = match version {
        Version::V1 => ("blkio.throttle.io_service_bytes_recursive", ["Read", "Write"]),
        Version::V2 => ("io.stat", ["rbytes", "wbytes"]),
    };
    [0, 1].map(|index| {
        let place = Place::Cgroup(Controller::Blkio, file);
        (SourceKey::same(At::new(place, Field::Column(columns[index]), Scale::One)), index)
    })
}
