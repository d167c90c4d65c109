//! Against a library that is built here, from `stand_in/nvml.c`: it says what a file says, and processes are in cgroups of a tree.
//!
//! Wants `cc`, as Rust does.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::Command,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use collector_core::{Absence, Accelerator, AcceleratorProcess, AcceleratorUse, Accelerators, EngineTime};
use gpu_reader::{NvidiaGpus, Options};

/// Whatever a test awaits is there within this time.
const PATIENCE: Duration = Duration::from_secs(20);

const WHOLE: &[&str] = &[];

/// A library and a `/proc`, in a directory of their own.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    /// `None` where there is no compiler, which is said, and is a failure in CI.
    #[expect(clippy::print_stdout, reason = "a skipped test says so")]
    fn with(left_out: &[&str], says: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let machine = Self { directory };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand_in/nvml.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(machine.library()).arg(source);
        cc.args(left_out.iter().map(|what| format!("-D{what}"))).arg("-ldl");
        match cc.status() {
            Ok(status) => assert!(status.success(), "cc failed on {source}"),
            Err(error) => {
                let is_ci = std::env::var("CI").is_ok_and(|value| matches!(value.as_str(), "true" | "1"));
                assert!(!is_ci, "failed to run cc: {error}");
                println!("skipped: failed to run cc: {error}; `apt-get install gcc libc6-dev` gives it");
                return None;
            }
        }
        machine.says(says);
        Some(machine)
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("libnvidia-ml.so.1")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("libnvidia-ml.so.1{suffix}"))
    }

    fn says(&self, text: &str) {
        fs::write(self.beside(".gpus"), text).expect("it can be written");
    }

    /// A process of the tree.
    fn process(&self, pid: u32, cgroup: &str) {
        let directory = self.directory.path().join("proc").join(pid.to_string());
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("cgroup"), format!("0::{cgroup}\n")).expect("it can be written");
    }

    /// One that looks anew each time, and waits for the answer.
    fn options(&self) -> Options {
        Options {
            library: self.library(),
            proc: self.directory.path().join("proc"),
            fresh: Duration::ZERO,
            retry: Duration::ZERO,
            patience: PATIENCE,
            stale: PATIENCE,
        }
    }

    fn gpus(&self) -> NvidiaGpus {
        NvidiaGpus::new(self.options())
    }
}

fn used(accelerator: &Accelerator) -> &AcceleratorUse {
    accelerator.used.as_ref().expect("it answers")
}

/// Cgroup, memory and multiprocessors of the processes of a GPU.
type Process<'a> = (&'a str, Result<u64, Absence>, Result<u64, Absence>);

fn processes(accelerator: &Accelerator) -> Vec<Process<'_>> {
    let all = used(accelerator).processes.as_ref().expect("they are told");
    all.iter()
        .map(|AcceleratorProcess { cgroups, memory, time }| {
            (cgroups.unified().unwrap_or_default(), *memory, time.map(|time| time.general))
        })
        .collect()
}

#[test]
fn processes_of_two_gpus_are_found_in_their_cgroups() {
    let says = "device GPU-a Big 0 1000 700 80\ndevice GPU-b Small 0 500 0 0\n\
        process 0 compute 11 100\nprocess 0 compute 12 200\nprocess 0 graphics 12 200\nprocess 0 compute 13 50\n\
        process 0 compute 14 18446744073709551615\nprocess 1 graphics 11 30\n\
        time 0 11 500000 40 1 2\ntime 0 11 100000 50 3 4\ntime 0 12 90000000 99 99 99\n";
    let Some(machine) = Machine::with(WHOLE, says) else { return };
    machine.process(11, "/docker/one");
    machine.process(12, "/docker/two/inner");
    machine.process(14, "/user.slice");
    // 13 has ended.
    let all = machine.gpus().look().expect("two GPUs");
    let [a, b] = &*all else { panic!("{all:?}") };
    assert_eq!((&*a.id, &*a.model, a.make), ("GPU-a", "Big", "nvidia"));
    assert_eq!((used(a).memory_total, used(a).memory_used, used(a).busy), (Ok(1000), Ok(700), Ok(80)));
    let expect = [
        ("/docker/one", Ok(100), Ok(50)),
        // It is of both kinds, and what it did is long over.
        ("/docker/two/inner", Ok(200), Ok(0)),
        ("/user.slice", Err(Absence::NotSupported), Ok(0)),
    ];
    assert_eq!(processes(a), expect);
    let times: Vec<_> =
        used(a).processes.as_ref().expect("they are told").iter().map(|one| one.time).collect();
    assert_eq!(times[0], Ok(EngineTime { general: 50, encoder: 3, decoder: 4 }), "the newest sample");
    assert_eq!((&*b.id, processes(b)), ("GPU-b", vec![("/docker/one", Ok(30), Ok(0))]));
}

#[test]
fn a_gpu_that_is_lost_keeps_its_name_and_does_not_hurt_the_others() {
    let Some(machine) = Machine::with(WHOLE, "device GPU-a Big 0 9 9 9\ndevice GPU-b Small 0 5 4 3\n") else {
        return;
    };
    let gpus = machine.gpus();
    assert!(gpus.look().expect("two GPUs").iter().all(|gpu| gpu.used.is_ok()));
    let lost = "device GPU-a Big 15 9 9 9\ndevice GPU-b Small 0 5 4 3\n";
    machine.says(lost);
    let all = gpus.look().expect("two GPUs");
    let expect = [("GPU-a", Err(Absence::NotReachable)), ("GPU-b", Ok(Ok(4)))];
    let found: Vec<_> = all
        .iter()
        .map(|gpu| (&*gpu.id, gpu.used.as_ref().map(|used| used.memory_used).map_err(|why| *why)))
        .collect();
    assert_eq!(found, expect);
    // Who never saw it cannot name it.
    assert_eq!(machine.gpus().look().expect("one GPU").len(), 1);
    machine.says("device GPU-a Big 0 9 8 9\ndevice GPU-b Small 0 5 4 3\n");
    assert_eq!(used(&gpus.look().expect("two GPUs")[0]).memory_used, Ok(8), "it is back");
}

#[test]
fn parts_of_a_divided_gpu_stand_for_themselves() {
    let says = "device GPU-a Big 0 90 50 7\npart 0 MIG-1 Big-1g 10 5\npart 0 MIG-2 Big-2g 20 6\nprocess 101 compute 7 3\n";
    let Some(machine) = Machine::with(WHOLE, says) else { return };
    machine.process(7, "/one");
    let all = machine.gpus().look().expect("two parts");
    let [one, two] = &*all else { panic!("{all:?}") };
    assert_eq!((&*one.id, used(one).memory_total, processes(one)), ("MIG-1", Ok(10), vec![]));
    assert_eq!(used(two).busy, Err(Absence::NotSupported));
    assert_eq!(processes(two), [("/one", Ok(3), Err(Absence::NotSupported))]);
}

#[test]
fn what_a_library_lacks_is_absent_and_the_rest_is_there() {
    let says = "device GPU-a Big 0 9 4 1\nprocess 0 compute 7 3\ntime 0 7 0 9 9 9\n";
    let Some(machine) = Machine::with(&["NO_UTILIZATION"], says) else { return };
    machine.process(7, "/one");
    let all = machine.gpus().look().expect("a GPU");
    assert_eq!(processes(&all[0]), [("/one", Ok(3), Err(Absence::NotSupported))]);
}

#[test]
fn what_is_no_library_is_a_reason() {
    let Some(machine) = Machine::with(&["NO_SHUTDOWN"], "") else { return };
    assert_eq!(machine.gpus().look(), Err(Absence::NoLibrary), "it lacks what cannot be done without");
    let with = |library: PathBuf| NvidiaGpus::new(Options { library, ..machine.options() });
    assert_eq!(with(machine.beside(".nowhere")).look(), Err(Absence::NoLibrary));
    assert_eq!(with(machine.beside(".gpus")).look(), Err(Absence::NoLibrary), "it is no library at all");
}

#[test]
fn a_driver_that_is_not_loaded_is_looked_for_again() {
    const DRIVER_NOT_LOADED: u32 = 9;
    let Some(machine) = Machine::with(WHOLE, &format!("init {DRIVER_NOT_LOADED}\n")) else { return };
    let gpus = machine.gpus();
    assert_eq!(gpus.look(), Err(Absence::NoDriver));
    machine.says("device GPU-a Big 0 9 4 1\n");
    assert_eq!(gpus.look().expect("a GPU").len(), 1);
}

#[test]
fn nobody_waits_for_a_library_that_hangs() {
    let Some(machine) = Machine::with(WHOLE, "device GPU-a Big 0 9 4 1\n") else { return };
    let held = machine.beside(".held");
    assert!(Command::new("mkfifo").arg(&held).status().expect("mkfifo").success());
    let hasty = Options { patience: Duration::ZERO, ..machine.options() };
    let gpus = Arc::new(NvidiaGpus::new(Options { stale: Duration::ZERO, ..hasty }));
    machine.says("hold\n");
    assert_eq!(gpus.look(), Err(Absence::Timeout), "nothing was ever found");
    // From here on it holds the pipe open, so the library waits.
    let mut pipe = fs::OpenOptions::new().write(true).open(&held).expect("the library has opened it");
    for _ in 0..3 {
        assert_eq!(gpus.look(), Err(Absence::Timeout));
    }
    machine.says("device GPU-a Big 0 9 4 1\n");
    pipe.write_all(b"go").expect("the library reads");
    drop(pipe);
    let began = Instant::now();
    // What it found is known, and too old at once.
    while gpus.look() != Err(Absence::Stale) {
        assert!(began.elapsed() < PATIENCE, "the library does not come back");
        thread::yield_now();
    }
}
