//! The engine under test, spoken to through its own command line, and the containers of one test.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::alone::AtWork;
use super::{Setup, kernel, leave_out, skip};

/// The image of all containers: a busybox.
pub(crate) const IMAGE: &str = "busybox:local";

/// How an engine is reached.
pub(super) struct Engine {
    host: String,
    cli: String,
    /// Not the engine that every test speaks to: no `DOCKER_HOST` leads to it.
    beside: bool,
}

/// The engine, with its image there; `None` without the variable that names one.
fn engine() -> Option<Arc<Engine>> {
    static ENGINE: OnceLock<Option<Arc<Engine>>> = OnceLock::new();
    ENGINE
        .get_or_init(|| {
            let Ok(host) = std::env::var("CONTAINER_EXPORTER_E2E_ENGINE") else {
                return skip("no engine (enable with: cargo xtask test --install)");
            };
            let cli = std::env::var("CONTAINER_EXPORTER_E2E_CLI").unwrap_or_else(|_| "docker".to_owned());
            Some(Engine::with_image(host, cli))
        })
        .clone()
}

/// The Podman beside the engine; `None` without the variable that names its socket. Where that is set, it has to answer.
fn podman() -> Option<Arc<Engine>> {
    static PODMAN: OnceLock<Arc<Engine>> = OnceLock::new();
    let Ok(host) = std::env::var("CONTAINER_EXPORTER_E2E_PODMAN") else {
        // No skip: on this host nothing is said to be missing.
        leave_out("without Podman beside the engine", "what Podman runs");
        return None;
    };
    let prepared = || Engine { host, cli: "podman".to_owned(), beside: true }.prepare();
    Some(PODMAN.get_or_init(prepared).clone())
}

impl Engine {
    /// An engine that answers at `host`, with the image there.
    pub(super) fn with_image(host: String, cli: String) -> Arc<Self> {
        Self { host, cli, beside: false }.prepare()
    }

    fn prepare(self) -> Arc<Self> {
        self.ensure_image();
        Arc::new(self)
    }

    fn is_podman(&self) -> bool {
        self.cli.ends_with("podman")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.cli);
        command.env("DOCKER_HOST", &self.host).env("CONTAINER_HOST", &self.host);
        if self.is_podman() {
            command.arg("--remote");
        }
        command.stdin(Stdio::null());
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command()
            .args(words)
            .output()
            .unwrap_or_else(|error| panic!("failed to run {}: {error}", self.cli))
    }

    /// Imports busybox with its links, unless whoever started the engine did.
    fn ensure_image(&self) {
        if self.output(&["image", "inspect", IMAGE]).status.success() {
            return;
        }
        let tar = pack_image();
        let mut import = self.command();
        import.args(["import", "-", IMAGE]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = import.spawn().expect("the CLI runs");
        child.stdin.take().expect("piped").write_all(&tar).expect("the engine takes the image");
        assert!(child.wait().expect("it is our child").success(), "failed to import {IMAGE}");
    }
}

/// The files of a busybox with its links, as a tar that engines import.
pub(crate) fn pack_image() -> Vec<u8> {
    let script = "set -e; d=$(mktemp -d); trap 'rm -rf $d' EXIT; mkdir -p $d/bin $d/tmp $d/etc $d/proc $d/sys $d/dev; \
            cp \"$(command -v busybox)\" $d/bin/busybox; \
            for a in $($d/bin/busybox --list); do [ $a = busybox ] || ln -s busybox $d/bin/$a; done; tar -C $d -c .";
    let tar = Command::new("sh").args(["-c", script]).output().expect("sh runs");
    assert!(tar.status.success(), "failed to pack a busybox: {}", String::from_utf8_lossy(&tar.stderr));
    tar.stdout
}

/// The containers of one test: named apart from those of every other test and run, and watched by its exporters alone.
pub(crate) struct Scope {
    engine: Arc<Engine>,
    prefix: String,
    _turn: Option<MutexGuard<'static, ()>>,
    _at_work: AtWork,
}

/// Podman's service, which a guest starts for its tests alone, takes seconds for an answer where more than two of them ask.
static TURNS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

impl Scope {
    /// `None` where there is no engine: the test is over then.
    pub(crate) fn new(test: &str) -> Option<Self> {
        Some(Self::on(engine()?, test))
    }

    /// On the Podman beside the engine; `None` where there is none.
    pub(crate) fn of_podman(test: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let engine = podman()?;
        let turn = &TURNS[COUNT.fetch_add(1, Ordering::Relaxed) as usize % TURNS.len()];
        let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self { _turn: Some(turn), ..Self::on(engine, test) })
    }

    /// On an engine of the test's own.
    pub(super) fn on(engine: Arc<Engine>, test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("e2e-{}-{count}-{test}", std::process::id());
        Self { engine, prefix, _turn: None, _at_work: AtWork::begin() }
    }

    /// What `DOCKER_HOST` is for this engine.
    pub(crate) fn host(&self) -> &str {
        &self.engine.host
    }

    /// The path of the engine's socket, if it has one.
    pub(crate) fn socket(&self) -> Option<&str> {
        self.engine.host.strip_prefix("unix://")
    }

    /// The full name of a container that the test calls `name`.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// An exporter that finds this engine and watches this test's containers only.
    pub(crate) fn exporter(&self) -> Setup {
        self.exporter_of_all().config("containers", &format!("include = [\"{}\"]", self.pattern()))
    }

    /// An exporter that finds this engine and watches all that run on it.
    pub(crate) fn exporter_of_all(&self) -> Setup {
        match self.socket().filter(|_| self.engine.beside) {
            Some(socket) => Setup::new()
                .config("docker", "enabled = false")
                .config("podman", &format!("socket_path = \"{socket}\"")),
            None => Setup::of_docker(&self.engine.host),
        }
    }

    /// The pattern that chooses this test's containers, as `containers.include` has it.
    pub(crate) fn pattern(&self) -> String {
        format!("name={}-*", self.prefix)
    }

    /// Runs the engine's CLI; what it printed, trimmed. Panics if it fails.
    #[track_caller]
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let (ok, out, err) = self.try_cli(words);
        assert!(ok, "{} {}: {err}", self.engine.cli, words.join(" "));
        out
    }

    /// Runs the engine's CLI; whether it succeeded, its stdout and stderr.
    pub(crate) fn try_cli(&self, words: &[&str]) -> (bool, String, String) {
        let output = self.engine.output(words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    /// `run -d` with options, of a shell script. Without a network, unless the options say another.
    #[track_caller]
    pub(crate) fn run(&self, name: &str, options: &[&str], script: &str) -> Container<'_> {
        self.run_words(name, options, &["sh", "-c", script])
    }

    /// [`Scope::run`] of a command.
    #[track_caller]
    pub(crate) fn run_words(&self, name: &str, options: &[&str], command: &[&str]) -> Container<'_> {
        let name = self.name(name);
        let mut words = vec!["run", "-d", "--name", &name];
        if !options.iter().any(|option| option.starts_with("--network") || option.starts_with("--net")) {
            words.extend(["--network", "none"]);
        }
        words.extend(options);
        words.push(IMAGE);
        words.extend(command);
        // Made first, so that one that was created and did not start is removed as well.
        let mut container = Container { scope: self, name: name.clone(), id: String::new() };
        container.id = self.cli(&words);
        container
    }

    /// A container that sleeps.
    #[track_caller]
    pub(crate) fn sleeper(&self, name: &str, options: &[&str]) -> Container<'_> {
        // `exec` makes it the init process; the trap lets `stop` end it at once.
        self.run(name, options, "trap 'exit 0' TERM; sleep 100000 & wait")
    }
}

/// A container; dropping it removes it.
pub(crate) struct Container<'scope> {
    scope: &'scope Scope,
    /// Its full name.
    pub(crate) name: String,
    /// Its full id.
    pub(crate) id: String,
}

impl Container<'_> {
    /// The value of `container_id` on native pages.
    pub(crate) fn short_id(&self) -> &str {
        &self.id[..12]
    }

    /// One field of `inspect`, by a Go template.
    #[track_caller]
    pub(crate) fn inspect(&self, template: &str) -> String {
        self.scope.cli(&["inspect", "-f", template, &self.id])
    }

    /// The process id of the init process.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        self.inspect("{{.State.Pid}}").parse().expect("a process id")
    }

    /// The kernel's files of this run.
    #[track_caller]
    pub(crate) fn kernel(&self) -> kernel::Kernel {
        kernel::Kernel::of(self.pid(), &self.id)
    }

    /// Runs a script inside; whether it succeeded, and what it printed on either stream.
    pub(crate) fn exec(&self, script: &str) -> (bool, String) {
        let (ok, out, err) = self.scope.try_cli(&["exec", &self.id, "sh", "-c", script]);
        (ok, out + &err)
    }

    /// A command of the CLI on this container, such as `["restart", "-t", "0"]`.
    #[track_caller]
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let mut words = words.to_vec();
        words.push(&self.id);
        self.scope.cli(&words)
    }

    /// `rm -f` before the test ends.
    pub(crate) fn remove(self) {}
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Podman would wait for the init process to heed its signal.
        let at_once: &[&str] = if self.scope.engine.is_podman() { &["-t", "0"] } else { &[] };
        _ = self.scope.try_cli(&[&["rm", "-f", "-v"], at_once, &[self.name.as_str()]].concat());
    }
}
