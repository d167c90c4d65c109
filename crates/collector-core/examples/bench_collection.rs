//! What one collection of the standard groups costs above a bare loop of `pread` over the same files: `cargo run --release
//! -p collector-core --features kernel --example bench_collection -- [CONTAINERS] [PASSES] [GAP_MS]`.
//!
//! Collects from the containers that run here. With a gap, all caches have cooled when a pass begins. Prints one line for
//! each pass: nanoseconds of CPU of the loop, of a collection, and the number of files.
#![expect(clippy::print_stdout, reason = "it is what the example is for")]

use std::{
    error::Error,
    fs::{self, File},
    hint::black_box,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use cgroup_reader::{Host, Roots, scan};
use collector_core::{
    BoxFuture, Change, Changes, Collector, Container, ContainerId, Engine, EngineInfo, Groups, Inventory,
    KernelOptions, KernelSampler, Options, Request, SourceStatus, State,
};
use rustix::time::{ClockId, clock_gettime};

/// An inventory that knows its containers from the start.
struct Fixed(Vec<Container>);

impl Inventory for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }

    fn run(self: Arc<Self>, changes: Changes) -> BoxFuture<()> {
        Box::pin(async move {
            // Where the collector has ended there is nobody to tell.
            let _ = changes.send(Change::Status(SourceStatus::Up(EngineInfo::default()))).await;
            let _ = changes.send(Change::Listed(self.0.clone())).await;
            changes.closed().await;
        })
    }

    fn relist(&self) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |word| word.parse::<usize>());
    let (wanted, passes, gap_ms) = (number(100)?, number(100)?, number(0)?);
    cgroup_reader::raise_fd_limit()?;
    let found: Vec<_> = scan(&Host::detect(&Roots::default())?).into_iter().take(wanted).collect();
    if found.len() < wanted {
        return Err(format!("only {} containers run here, not {wanted}: start some", found.len()).into());
    }
    let containers = found.into_iter().map(|found| {
        let mut container = Container::new(ContainerId::new(&found.id), Engine::Kernel, State::Running);
        container.cgroup = Some(found.path.into());
        container
    });
    let gap = Duration::from_millis(gap_ms.try_into()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(containers.collect(), passes, gap))
}

async fn compare(containers: Vec<Container>, passes: usize, gap: Duration) -> Result<(), Box<dyn Error>> {
    let wanted = containers.len();
    let sampler = Arc::new(KernelSampler::start(&KernelOptions::default())?);
    let collector =
        Collector::start(Options::default(), vec![Arc::new(Fixed(containers))], sampler, Box::new(|_| {}));
    collector.wait_until(|collector| collector.known().len() == wanted).await;
    for _ in 0..3 {
        collector.collect(Request::new(Groups::standard())).await;
    }
    let mut files = Vec::new();
    for path in kept_files()? {
        files.extend(File::open(path));
    }
    let mut buffer = vec![0; 16 << 10];
    for _ in 0..passes {
        // Half of the gap before each, so that neither warms the caches for the other.
        thread::sleep(gap / 2);
        let start = nanos(ClockId::ThreadCPUTime);
        for file in &files {
            let _ = black_box(file.read_at(&mut buffer, 0));
        }
        let floor = nanos(ClockId::ThreadCPUTime) - start;
        thread::sleep(gap / 2);
        let start = nanos(ClockId::ProcessCPUTime);
        black_box(collector.collect(Request::new(Groups::standard())).await);
        let ours = nanos(ClockId::ProcessCPUTime) - start;
        println!("{floor} {ours} {}", files.len());
    }
    Ok(())
}

/// The kernel's files that are kept open: what a collection reads of containers.
fn kept_files() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let open = fs::read_dir("/proc/self/fd")?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    Ok(open
        .filter(|path| path.starts_with("/sys/fs/cgroup") || path.starts_with("/proc"))
        .filter(|path| !path.is_dir())
        .collect())
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
