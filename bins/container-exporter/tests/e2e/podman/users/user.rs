//! A user of the machine, with a session of their own: systemd's user manager, and whatever it starts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::harness::{await_until, leave_out, pack_image};

/// Made for one test; dropping it ends all that the user runs, and removes the user.
pub(super) struct User {
    /// The login name.
    pub(super) name: String,
    /// The number that `container_info` tells.
    pub(super) uid: u32,
}

impl User {
    /// `None` where users may not be made: only a host that goes away after the tests says so.
    #[track_caller]
    pub(super) fn new(name: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os("CONTAINER_EXPORTER_E2E_USERS").is_none() {
            // No skip: nothing is missing on a host whose users are its own.
            leave_out("where no users may be made", "what users' engines run");
            return None;
        }
        let name = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        succeed(Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", &name]));
        let uid = succeed(Command::new("id").args(["-u", &name])).trim().parse().expect("a number");
        let user = Self { name, uid };
        succeed(Command::new("loginctl").args(["enable-linger", &user.name]));
        let bus = user.runtime().join("bus");
        await_until("the user's session has begun", || bus.exists().then_some(()));
        Some(user)
    }

    /// `XDG_RUNTIME_DIR`.
    fn runtime(&self) -> PathBuf {
        Path::new("/run/user").join(self.uid.to_string())
    }

    /// A program that runs as this user, in the session.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("runuser");
        let (home, runtime) = (format!("/home/{}", self.name), self.runtime().display().to_string());
        command.args(["-u", &self.name, "--", "env", &format!("HOME={home}")]);
        command.arg(format!("XDG_RUNTIME_DIR={runtime}"));
        command.arg(format!("DBUS_SESSION_BUS_ADDRESS=unix:path={runtime}/bus"));
        command.arg(program).current_dir(home);
        for other in ["DOCKER_HOST", "CONTAINER_HOST"] {
            command.env_remove(other);
        }
        command
    }

    #[track_caller]
    fn systemctl(&self, verb: &str, unit: &str) {
        succeed(self.command("systemctl").args(["--user", verb, unit]));
    }

    /// Starts a unit of the user's own.
    #[track_caller]
    pub(super) fn start(&self, unit: &str) {
        self.systemctl("start", unit);
    }

    /// Stops a unit of the user's own.
    #[track_caller]
    pub(super) fn stop(&self, unit: &str) {
        self.systemctl("stop", unit);
    }

    /// Starts the user's Docker as `docker.service`, and waits until it answers. Without a bridge, since the guest's kernel has no
    /// netfilter.
    #[track_caller]
    pub(super) fn start_docker(&self) {
        let script = "/usr/share/docker.io/contrib/dockerd-rootless.sh";
        let without = ["--iptables=false", "--ip6tables=false", "--bridge=none"];
        let path = format!("--setenv=PATH={}", std::env::var("PATH").expect("there is a path"));
        let mut command = self.command("systemd-run");
        command.args(["--user", "--unit", "docker.service", "-p", "Delegate=yes", &path, "sh", script]);
        succeed(command.args(without));
        await_until("the user's Docker answers", || {
            self.client("docker").arg("version").output().ok().filter(|output| output.status.success())
        });
    }

    /// The client of an engine of the user's.
    fn client(&self, engine: &str) -> Command {
        let mut command = self.command(engine);
        if engine == "docker" {
            command.arg("-H").arg(format!("unix://{}/docker.sock", self.runtime().display()));
        }
        command
    }

    /// A container of 64 MiB that sleeps.
    #[track_caller]
    pub(super) fn run_container(&self, engine: &str, name: &str) {
        let mut import = self.client(engine);
        import.args(["import", "-", "busybox:local"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = import.spawn().expect("runuser runs");
        child.stdin.take().expect("piped").write_all(&pack_image()).expect("the engine takes the image");
        assert!(child.wait().expect("it is our child").success(), "failed to import an image");
        let mut command = self.client(engine);
        command.args(["run", "-d", "--name", name, "--network", "none", "-m", "64m", "busybox:local"]);
        succeed(command.args(["sleep", "100000"]));
    }
}

impl Drop for User {
    fn drop(&mut self) {
        for words in [["disable-linger", &self.name], ["terminate-user", &self.name]] {
            _ = Command::new("loginctl").args(words).output();
        }
        let manager = format!("user@{}.service", self.uid);
        _ = Command::new("systemctl").args(["stop", &manager]).output();
        _ = Command::new("userdel").args(["--force", "--remove", &self.name]).output();
    }
}

/// What a command printed, which has to succeed.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}
