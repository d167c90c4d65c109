//! Containers without an engine that runs them: real cgroups made by mkdir, each with a process, told of by a recorded engine.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use test_support::{Answer, RecordedEngine};

use crate::harness::{Setup, await_until, skip};

/// When every run here began, as the engine says it: only the order of times matters to anybody.
const BEGUN: &str = "2026-11-21T10:06:40Z";
const BEGUN_NANOS: u64 = 1_795_255_600_000_000_000;

/// A recorded engine, with the cgroups of its containers. Dropping it removes all of them.
pub(super) struct Made {
    engine: Arc<RecordedEngine>,
    /// The engine's runtime ends when this is dropped.
    _alive: tokio::sync::oneshot::Sender<()>,
    /// The cgroup above the containers, in each hierarchy.
    parents: Vec<PathBuf>,
    containers: BTreeMap<String, Run>,
    number: u32,
    next: u32,
    /// What the engine says that those started next are run by.
    runtime: &'static str,
}

/// One container that runs.
struct Run {
    process: Child,
    directories: Vec<PathBuf>,
}

impl Made {
    /// An engine without containers; `None` where cgroups cannot be made.
    pub(super) fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("faults-{}-{number}", std::process::id());
        let parents: Vec<PathBuf> = hierarchies().into_iter().map(|mount| mount.join(&name)).collect();
        for parent in &parents {
            if fs::create_dir(parent).is_err() {
                return skip("no cgroups can be made here");
            }
            for controller in ["cpu", "memory", "io", "pids"] {
                // v2 hands on only what is asked for; on v1 there is nothing to ask.
                _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        if parents.is_empty() {
            return skip("no cgroup hierarchy can be written");
        }
        let (alive, dead) = tokio::sync::oneshot::channel::<()>();
        let (made, engine) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                made.send(Arc::new(RecordedEngine::start())).expect("the test waits");
                _ = dead.await;
            });
        });
        let engine = engine.recv().expect("the engine starts");
        Some(Self {
            engine,
            _alive: alive,
            parents,
            containers: BTreeMap::new(),
            number,
            next: 0,
            runtime: "runc",
        })
    }

    /// An exporter that asks this engine.
    pub(super) fn setup(&self) -> Setup {
        Setup::of_docker(&format!("unix://{}", self.engine.socket().display()))
    }

    /// From now on the engine says that this runtime runs what is started.
    pub(super) fn run_by(&mut self, runtime: &'static str) {
        self.runtime = runtime;
    }

    /// How the engine answers an inspect from now on.
    pub(super) fn answer_inspect(&self, id: &str, answer: Answer) {
        self.engine.answer(&format!("/containers/{id}/json"), answer);
    }

    /// What the engine's stats API answers for a container.
    pub(super) fn give_numbers(&self, id: &str, body: &str) {
        self.engine.answer(&format!("/containers/{id}/stats"), Answer::text(body));
    }

    /// Starts a container and says so; its id.
    pub(super) fn start(&mut self) -> String {
        self.next += 1;
        // A container is told from others by the first twelve digits, also from those that other tests make meanwhile.
        let id = format!("{:04x}{:08x}{:052x}", self.number, self.next, std::process::id());
        let mut command = Command::new("sleep");
        let process = command.arg("1000000").stdout(Stdio::null()).spawn().expect("sleep runs");
        let mut directories = Vec::new();
        for parent in &self.parents {
            let directory = parent.join(&id);
            fs::create_dir(&directory).expect("a cgroup");
            fs::write(directory.join("cgroup.procs"), process.id().to_string()).expect("it enters");
            directories.push(directory);
        }
        self.describe(&id, process.id());
        self.containers.insert(id.clone(), Run { process, directories });
        self.list();
        self.tell("start", &id, "");
        id
    }

    /// The engine's answer about a container.
    pub(super) fn describe(&self, id: &str, pid: u32) {
        self.answer_inspect(
            id,
            Answer::text(format!(
                "{{\"Id\":\"{id}\",\"Name\":\"/made-{id}\",\"Created\":\"{BEGUN}\",\"State\":{{\"Status\":\"running\",\
                 \"Running\":true,\"Pid\":{pid},\"StartedAt\":\"{BEGUN}\",\"FinishedAt\":\"0001-01-01T00:00:00Z\"}},\
                 \"HostConfig\":{{\"NetworkMode\":\"none\",\"Runtime\":\"{}\"}},\"Config\":{{\"Image\":\"made\"}}}}",
                self.runtime
            )),
        );
    }

    /// What `/containers/json` says from now on: all that run.
    pub(super) fn list(&self) {
        let entry = |id: &String| {
            format!(
                "{{\"Id\":\"{id}\",\"Names\":[\"/made-{id}\"],\"Image\":\"made\",\"State\":\"running\",\"Status\":\"\",\
                 \"Created\":{}}}",
                BEGUN_NANOS / 1_000_000_000
            )
        };
        let entries: Vec<String> = self.containers.keys().map(entry).collect();
        self.engine.answer("/containers/json", Answer::text(format!("[{}]", entries.join(","))));
    }

    fn tell(&self, action: &str, id: &str, attributes: &str) {
        let seconds = u64::from(action != "start") + u64::from(action == "destroy");
        self.engine.event(format!(
            "{{\"Type\":\"container\",\"Action\":\"{action}\",\"Actor\":{{\"ID\":\"{id}\",\"Attributes\":{{\
             \"name\":\"made-{id}\",\"image\":\"made\"{attributes}}}}},\"timeNano\":{}}}\n",
            BEGUN_NANOS + seconds * 1_000_000_000
        ));
    }

    /// Ends a container's process and removes its cgroups, and says nothing.
    pub(super) fn end_silently(&mut self, id: &str) {
        let mut run = self.containers.remove(id).expect("it runs");
        _ = run.process.kill();
        _ = run.process.wait();
        run.directories.iter().for_each(remove);
        let missing = Answer::Status(404, "{\"message\":\"no such container\"}".into());
        self.engine.answer(&format!("/containers/{id}/json"), missing);
    }

    /// Ends and removes a container, as `rm -f` does.
    pub(super) fn end(&mut self, id: &str) {
        self.end_silently(id);
        // In the engine's order: who asks for a list without it has been told of its end.
        self.tell("die", id, ",\"exitCode\":\"137\"");
        self.list();
        self.tell("destroy", id, "");
    }

    /// Ends and removes all.
    pub(super) fn end_all(&mut self) {
        for id in self.containers.keys().cloned().collect::<Vec<_>>() {
            self.end(&id);
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for run in self.containers.values_mut() {
            _ = run.process.kill();
            _ = run.process.wait();
        }
        let all = self.containers.values().flat_map(|run| &run.directories);
        all.chain(&self.parents).for_each(|directory| {
            if std::thread::panicking() {
                _ = fs::remove_dir(directory);
            } else {
                remove(directory);
            }
        });
    }
}

/// The kernel lets go of a cgroup a moment after its last process.
fn remove(directory: &PathBuf) {
    await_until("the cgroup is empty", || fs::remove_dir(directory).ok());
}

/// Mount points of hierarchies that can be written, without those that need settings before a process may enter.
fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let usable = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[_, point, kind, options, ..] = fields.as_slice() else { return None };
        let has = |word: &str| options.split(',').any(|option| option == word);
        let usable = kind.starts_with("cgroup") && has("rw") && !has("cpuset");
        usable.then(|| fs::canonicalize(point).ok())?
    };
    let mut found: Vec<PathBuf> = mounts.lines().filter_map(usable).collect();
    found.sort_unstable();
    found.dedup();
    found
}
