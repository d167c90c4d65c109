//! A Docker engine of its own, and its undoing.
//!
//! [`Engine::start`] runs whatever dockerd the machine has on directories, a socket, a containerd and a bridge of its
//! own, beside any other engine. Nothing it does is outside its [`Record`], which is written before each effect; so
//! [`undo`](undo::undo) works the same for a run that ends, one that is interrupted, and one that was killed and is found by
//! the next. The engine itself touches no packet filter (`--iptables=false`: a second engine would rebuild the chains of the
//! first); the one rule that its bridge needs is ours.

pub(crate) mod http;
mod image;
pub(crate) mod network;
mod record;
mod undo;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::engine::record::Record;
use crate::error::{Context as _, Error, Result};
use crate::process;

/// How long an engine may take until it answers.
const READY: Duration = Duration::from_secs(60);
/// How many lines of a log are shown when something went wrong.
const LOG_TAIL: usize = 40;

/// What outlives the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Nothing.
    Nothing,
    /// The engine, until `cargo xtask lab down`.
    Running,
}

/// Which programs an engine is made of.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// The host's name, as `cargo xtask lab` knows it.
    pub(crate) host: &'static str,
    /// Its dockerd and runc, where they are not those on PATH. containerd and its shim are always the machine's.
    pub(crate) built: Option<Built>,
}

/// An engine's programs that were built for it.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// dockerd.
    pub(crate) dockerd: PathBuf,
    /// runc.
    pub(crate) runc: PathBuf,
}

impl Programs {
    /// Whatever the machine has.
    pub(crate) const NATIVE: Self = Self { host: "native", built: None };
}

/// A running engine; dropping it undoes everything.
#[derive(Debug)]
pub(crate) struct Engine {
    record: Record,
    programs: Programs,
    children: Vec<Child>,
    keep: Keep,
    stopped: bool,
}

impl Engine {
    /// Why no engine can be started here whatever is installed, and what to do; `None` if it can.
    pub(crate) fn obstacle() -> Option<String> {
        if !cfg!(target_os = "linux") {
            return Some("the end-to-end tests need Linux".to_owned());
        }
        if !rustix::process::geteuid().is_root() {
            return Some("starting an engine needs root: run `sudo -E cargo xtask test`".to_owned());
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if !undo::cgroup_mounts(&mounts).iter().any(|mount| mount.writable) {
            return Some(
                "no cgroup file system is mounted writable under /sys/fs/cgroup: in a container, run that with \
                 --privileged and --cgroupns=host"
                    .to_owned(),
            );
        }
        None
    }

    /// Starts the machine's engine, waits until it answers, imports `busybox:local` and runs it once.
    pub(crate) fn start(keep: Keep) -> Result<Self> {
        Self::start_with(Programs::NATIVE, keep)
    }

    /// The same with these programs.
    pub(crate) fn start_with(programs: Programs, keep: Keep) -> Result<Self> {
        // Two runs that start at once must not pick one network, nor undo the same leftovers.
        let alone = alone()?;
        undo_abandoned()?;
        let record = Record::create(programs.host, keep == Keep::Running)?;
        let mut engine = Self { record, programs, children: Vec::new(), keep, stopped: false };
        let start = Instant::now();
        let up = network::create(&engine.record).and_then(|()| {
            drop(alone);
            engine.bring_up()
        });
        if let Err(error) = up {
            if !process::interrupted() {
                engine.print_log_tail();
            }
            // What failed is the reason; what is undone badly says so itself.
            engine.keep = Keep::Nothing;
            drop(engine);
            return Err(error);
        }
        println!(
            "an engine answers at {} after {:.1} s",
            engine.docker_host(),
            start.elapsed().as_secs_f64()
        );
        Ok(engine)
    }

    fn bring_up(&mut self) -> Result<()> {
        self.start_containerd()?;
        self.start_dockerd()?;
        image::import(&self.record)?;
        image::try_out(&self.record)
    }

    /// Its own supervisor, told apart from the machine's by address and directories: a dockerd without one given would take the machine's.
    fn start_containerd(&mut self) -> Result<()> {
        let config = self.record.path("containerd.toml");
        let text = "version = 2\n\
            # CRI opens a port of its own; opt would create /opt/containerd.\n\
            disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n";
        std::fs::write(&config, text).context(|| format!("failed to write {}", config.display()))?;
        let mut command = Self::program("containerd")?;
        command.arg("--config").arg(config);
        command.arg("--root").arg(self.record.path("containerd-data"));
        command.arg("--state").arg(self.record.path("containerd-run"));
        command.arg("--address").arg(self.record.containerd_socket());
        self.spawn(command, "containerd.log")?;
        let socket = self.record.containerd_socket();
        self.await_ready("containerd", || std::os::unix::net::UnixStream::connect(&socket).is_ok())
    }

    fn start_dockerd(&mut self) -> Result<()> {
        let config = self.record.path("daemon.json");
        // An own file, because the machine's may contradict the flags, which dockerd refuses.
        std::fs::write(&config, "{}\n").context(|| format!("failed to write {}", config.display()))?;
        let mut command = match &self.programs.built {
            Some(built) => Self::at(&built.dockerd),
            None => Self::program("dockerd")?,
        };
        if let Some(built) = &self.programs.built {
            // The machine's runc may be too old for this dockerd.
            command
                .arg(format!("--add-runtime=built={}", built.runc.display()))
                .arg("--default-runtime=built");
        }
        command.arg("--config-file").arg(config);
        command.arg("--data-root").arg(self.record.path("data"));
        command.arg("--exec-root").arg(self.record.path("exec"));
        command.arg("--pidfile").arg(self.record.path("dockerd.pid"));
        command.arg("--host").arg(self.docker_host());
        command.arg("--containerd").arg(self.record.containerd_socket());
        command.args(["--bridge", self.record.bridge()]);
        command.args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
        if self.programs.built.is_some() || process::find_program("docker-proxy").is_none() {
            command.arg("--userland-proxy=false");
        }
        self.spawn(command, "dockerd.log")?;
        let socket = self.record.docker_socket();
        self.await_ready("dockerd", || http::get(&socket, "/_ping").is_ok_and(|answer| answer.status == 200))
    }

    fn program(name: &str) -> Result<Command> {
        let file = process::find_program(name).ok_or_else(|| {
            Error::failed(format!("{name} is not on PATH; `cargo xtask lab check` says what is missing"))
        })?;
        Ok(Self::at(&file))
    }

    fn at(file: &Path) -> Command {
        let mut command = Command::new(file);
        // What a person's shell tells clients, and a service manager its services, is not meant for this engine.
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("DOCKER_") || text.starts_with("OTEL_") || text == "NOTIFY_SOCKET" {
                command.env_remove(&variable);
            }
        }
        // The engine looks for runc and containerd-shim on PATH, and a user's leaves out the places of system programs.
        let mut path = std::env::var("PATH").unwrap_or_default();
        path.push_str(":/usr/local/sbin:/usr/sbin:/sbin");
        command.env("PATH", path);
        command
    }

    fn spawn(&mut self, mut command: Command, log: &str) -> Result<()> {
        use std::os::unix::process::CommandExt as _;
        process::check_interrupted()?;
        let path = self.record.path(log);
        let log = File::create(&path).context(|| format!("failed to create {}", path.display()))?;
        let errors = log.try_clone().context(|| format!("failed to share {}", path.display()))?;
        // A process group of its own: Ctrl-C is for us, who end the engine in order.
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .current_dir("/")
            .spawn()
            .context(|| format!("failed to run `{}`", process::shown(&command)))?;
        self.children.push(child);
        Ok(())
    }

    fn await_ready(&mut self, name: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
        let end = Instant::now() + READY;
        while !ready() {
            process::check_interrupted()?;
            if self.has_died() {
                return Err(Error::failed(format!("{name} ended before it answered; its log is above")));
            }
            if Instant::now() > end {
                return Err(Error::failed(format!(
                    "{name} did not answer within {} s; its log is above",
                    READY.as_secs()
                )));
            }
            process::wait_for_signal(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What DOCKER_HOST wants.
    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}", self.record.docker_socket().display())
    }

    /// A place for whoever uses this engine; it goes with it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.record.path(name)
    }

    /// What tests need to start engines of their own beside this one: the same programs, and a directory that goes with it.
    pub(crate) fn for_own_engines(&self) -> Result<Vec<(&'static str, PathBuf)>> {
        let directory = self.record.path(record::OWN_ENGINES);
        std::fs::create_dir_all(&directory)
            .context(|| format!("failed to create {}", directory.display()))?;
        let mut variables = vec![
            ("CONTAINER_EXPORTER_E2E_DIRECTORY", directory),
            ("CONTAINER_EXPORTER_E2E_BRIDGE", PathBuf::from(self.record.bridge())),
        ];
        if let Some(built) = &self.programs.built {
            variables.push(("CONTAINER_EXPORTER_E2E_DOCKERD", built.dockerd.clone()));
            variables.push(("CONTAINER_EXPORTER_E2E_RUNC", built.runc.clone()));
        }
        Ok(variables)
    }

    /// Has dockerd or its containerd ended by itself?
    pub(crate) fn has_died(&mut self) -> bool {
        self.children.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Prints the ends of the logs.
    pub(crate) fn print_log_tail(&self) {
        for log in ["containerd.log", "dockerd.log"] {
            let Ok(text) = std::fs::read_to_string(self.record.path(log)) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("── the end of {log}");
            lines.iter().skip(lines.len().saturating_sub(LOG_TAIL)).for_each(|line| eprintln!("{line}"));
        }
    }

    /// Undoes everything, unless it is to be kept.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.stop_once()
    }

    fn stop_once(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.stopped, true) {
            return Ok(());
        }
        if self.keep == Keep::Running && !process::interrupted() {
            println!("the engine stays: DOCKER_HOST={}; `cargo xtask lab down` ends it", self.docker_host());
            return Ok(());
        }
        let undone = undo::undo(&self.record);
        for child in &mut self.children {
            // Ended by now; a child that could not be is named in `undone`, and waiting for it might never end.
            let _ = child.try_wait();
        }
        remove_home(&alone()?);
        undone
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.stop_once() {
            eprintln!("error: {error}");
        }
    }
}

/// A directory for something that is no engine of [`Engine`]'s, in the same book: dropping it ends what runs in it and removes it,
/// and if this run is killed the next one does.
#[derive(Debug)]
pub(crate) struct Place {
    record: Record,
}

impl Place {
    /// Makes it, after undoing what killed runs left.
    pub(crate) fn create(host: &str) -> Result<Self> {
        let _alone = alone()?;
        undo_abandoned()?;
        Ok(Self { record: Record::create(host, false)? })
    }

    /// Something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.record.path(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let undone = undo::undo(&self.record).and_then(|()| alone()).map(|alone| remove_home(&alone));
        if let Err(error) = undone {
            eprintln!("error: {error}");
        }
    }
}

/// Undoes what killed runs left. Only for whoever is [`alone`].
fn undo_abandoned() -> Result<()> {
    for left in record::read_all()?.into_iter().filter(Record::is_abandoned) {
        eprintln!("undoing what a killed run left in {}", left.directory.display());
        undo::undo(&left)?;
    }
    record::sweep()
}

/// One line for each engine that runs or was left behind.
pub(crate) fn list() -> Result<Vec<String>> {
    let engines = record::read_all()?;
    Ok(engines.iter().map(|engine| format!("{}  {}", engine.directory.display(), engine.state())).collect())
}

/// Ends the engines that no run owns any more; how many.
pub(crate) fn end_all() -> Result<usize> {
    let alone = alone()?;
    let mut ended = 0;
    for record in record::read_all()?.into_iter().filter(|record| !record.is_owned()) {
        undo::undo(&record)?;
        ended += 1;
    }
    record::sweep()?;
    remove_home(&alone);
    Ok(ended)
}

/// Waits until no other run starts or ends engines; the lock goes with the returned file. It is on the directory above
/// [`home`], which nobody removes.
fn alone() -> Result<File> {
    let home = home();
    let above = home.parent().unwrap_or(Path::new("/"));
    let directory = File::open(above).context(|| format!("failed to open {}", above.display()))?;
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)
        .context(|| format!("failed to lock {}", above.display()))?;
    Ok(directory)
}

/// Removes the directory of all engines after the last one; `_alone` proves that no run is about to use it.
fn remove_home(_alone: &File) {
    // Not empty while another engine runs.
    let _ = std::fs::remove_dir(home());
}

/// The directory of all engines: root's alone, so that no stranger can put links in the way; on a disk, so that writes can be measured.
fn home() -> PathBuf {
    Path::new("/var/lib/container-exporter-lab").to_path_buf()
}
