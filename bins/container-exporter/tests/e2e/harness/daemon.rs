//! An engine of one test's own, which it may kill, stop and start again: dockerd on directories, a containerd and a socket
//! that nobody else uses.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::engine::{Engine, Scope};
use super::{await_until, is_emulated, leave_out, say, skip};

/// Whether containers run on while dockerd is away, as far as it is asked: killed, it cannot help it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiveRestore {
    /// The next dockerd takes them over.
    On,
    /// The next dockerd ends them.
    Off,
}

/// A running engine; dropping it removes its containers and itself.
pub(crate) struct Daemon {
    directory: tempfile::TempDir,
    live_restore: LiveRestore,
    containerd: Child,
    dockerd: Option<Child>,
    engine: Option<Arc<Engine>>,
}

impl Daemon {
    /// Starts one; `None` where that cannot be done.
    pub(crate) fn start(live_restore: LiveRestore) -> Option<Self> {
        if std::env::var_os("CONTAINER_EXPORTER_E2E_ENGINE").is_none() {
            return skip("no engine (enable with: cargo xtask test --install)");
        }
        if is_emulated() {
            leave_out(
                "an emulated guest is too slow for several engines",
                "what a killed or stopped engine leaves",
            );
            return None;
        }
        let parent = std::env::var_os("CONTAINER_EXPORTER_E2E_DIRECTORY");
        let parent = parent.map_or_else(std::env::temp_dir, PathBuf::from);
        let Ok(directory) = tempfile::Builder::new().prefix("engine-").tempdir_in(&parent) else {
            return skip(format!("no engine can be started in {}", parent.display()));
        };
        let config = directory.path().join("containerd.toml");
        // CRI opens a port of its own; opt would create /opt/containerd.
        let text = "version = 2\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n";
        std::fs::write(&config, text).expect("the directory is ours");
        std::fs::write(directory.path().join("daemon.json"), "{}\n").expect("the directory is ours");
        let mut command = program(Path::new("containerd"));
        command.arg("--config").arg(&config);
        for (flag, name) in
            [("--root", "containerd"), ("--state", "containerd-run"), ("--address", "containerd.sock")]
        {
            command.arg(flag).arg(directory.path().join(name));
        }
        let Some(containerd) = spawn(command, directory.path()) else {
            return skip("there is no containerd on PATH, or it needs other rights");
        };
        let mut daemon = Self { directory, live_restore, containerd, dockerd: None, engine: None };
        let socket = daemon.path("containerd.sock");
        await_until("containerd listens", || UnixStream::connect(&socket).ok());
        daemon.launch();
        let cli = std::env::var("CONTAINER_EXPORTER_E2E_CLI").unwrap_or_else(|_| "docker".to_owned());
        daemon.engine = Some(Engine::with_image(daemon.host(), cli));
        Some(daemon)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What `DOCKER_HOST` is for it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// The containers of a test on it.
    #[track_caller]
    pub(crate) fn scope(&self, test: &str) -> Scope {
        Scope::on(Arc::clone(self.engine.as_ref().expect("it has started")), test)
    }

    /// Starts dockerd (again), and waits until it answers.
    #[track_caller]
    pub(crate) fn launch(&mut self) {
        let dockerd = std::env::var_os("CONTAINER_EXPORTER_E2E_DOCKERD");
        let mut command = program(dockerd.as_ref().map_or(Path::new("dockerd"), Path::new));
        if let Ok(runc) = std::env::var("CONTAINER_EXPORTER_E2E_RUNC") {
            command.args([&format!("--add-runtime=own={runc}"), "--default-runtime=own"]);
        }
        for (flag, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "dockerd.pid"),
            ("--containerd", "containerd.sock"),
        ] {
            command.arg(flag).arg(self.path(name));
        }
        // One that is told to have none would remove the docker0 of another engine.
        let bridge = std::env::var("CONTAINER_EXPORTER_E2E_BRIDGE").unwrap_or_else(|_| "docker0".to_owned());
        command.args(["--host", &self.host(), "--bridge", &bridge, "--iptables=false", "--ip6tables=false"]);
        if self.live_restore == LiveRestore::On {
            command.arg("--live-restore");
        }
        self.dockerd = spawn(command, self.directory.path());
        let socket = self.path("docker.sock");
        await_until("dockerd answers", || {
            let ended = self.dockerd.as_mut().and_then(|child| child.try_wait().transpose());
            assert!(self.dockerd.is_some() && ended.is_none(), "dockerd ended: {}", self.log_tail());
            is_up(&socket).then_some(())
        });
    }

    /// `kill -9`: it has no time for anything. Its containers run on without it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            dockerd.kill().expect("it is our child");
            _ = dockerd.wait();
        }
    }

    /// Sends dockerd a signal, such as `STOP`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.dockerd.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "dockerd takes SIG{name}");
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read(self.path("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Ends all in order: it takes an engine to remove containers.
    fn end(&mut self) {
        if self.dockerd.is_none() {
            self.launch();
        }
        self.signal("CONT");
        let scope = self.scope("end");
        let containers = scope.cli(&["ps", "-aq"]);
        if !containers.is_empty() {
            let mut words = vec!["rm", "-f", "-v"];
            words.extend(containers.lines());
            scope.try_cli(&words);
        }
        self.signal("TERM");
        await_until("dockerd ends", || self.dockerd.as_mut()?.try_wait().expect("it is our child"));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("── the end of the engine's log\n{}\n──", self.log_tail()));
        }
        // A test that has failed already must not abort all others.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.end()));
        if ended.is_err() {
            self.kill();
        }
        _ = self.containerd.kill();
        _ = self.containerd.wait();
        // What a dockerd that was killed left mounted.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
        for point in points.filter(|point| point.starts_with(self.directory.path())) {
            _ = Command::new("umount").arg("-l").arg(point).stderr(Stdio::null()).status();
        }
    }
}

/// A daemon, with the places of system programs on its `PATH`, and nothing that is meant for another engine.
fn program(file: &Path) -> Command {
    let mut command = Command::new(file);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("DOCKER_") || text.starts_with("OTEL_") || text == "NOTIFY_SOCKET" {
            command.env_remove(&name);
        }
    }
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"));
    command
}

/// Starts a daemon that logs into its directory; `None` if there is no such program.
fn spawn(mut command: Command, directory: &Path) -> Option<Child> {
    let log = File::options().create(true).append(true).open(directory.join("log")).expect("a log");
    let copy = log.try_clone().expect("a descriptor");
    command.stdin(Stdio::null()).stdout(copy).stderr(log).current_dir("/").spawn().ok()
}

fn is_up(socket: &Path) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let asked = stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
}
