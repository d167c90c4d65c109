//! A running exporter, watched through its log and its pages.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::alone::AtWork;
use super::{Answer, Page, await_until, get, say};

/// The program under test.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CONTAINER_EXPORTER_E2E_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_container-exporter")), PathBuf::from)
}

/// How an exporter is started: with no environment but what is given and `PATH`.
#[derive(Clone)]
pub(crate) struct Setup {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    sections: Vec<(String, String)>,
    whole: Option<String>,
    listen: String,
    prelude: Option<String>,
    wrapper: Vec<String>,
}

impl Setup {
    /// The defaults on a free port of the loopback, and every scrape a collection of its own: a value read before the scrape is
    /// never newer than that on the page.
    pub(crate) fn new() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            sections: Vec::new(),
            whole: None,
            listen: "127.0.0.1:0".to_owned(),
            prelude: None,
            wrapper: Vec::new(),
        }
        .config("metrics", "max_age_ms = 0")
    }

    /// With all groups of metrics: each page takes a guest a second then, and its engine questions that walk through its disk.
    pub(crate) fn all_groups(self) -> Self {
        self.config("metrics", "groups = [\"all\"]")
    }

    /// The Docker at this address and no other engine: each that is followed costs a guest seconds.
    pub(crate) fn of_docker(host: &str) -> Self {
        Self::new().env("DOCKER_HOST", host).config("podman", "enabled = false")
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// One more environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// More lines in a section of the configuration file; a key that was given before is replaced.
    pub(crate) fn config(mut self, section: &str, lines: &str) -> Self {
        self.sections.push((section.to_owned(), lines.to_owned()));
        self
    }

    /// A configuration file as it is, instead of what [`Setup::config`] made.
    pub(crate) fn whole_config(mut self, text: &str) -> Self {
        self.whole = Some(text.to_owned());
        self
    }

    /// The address, instead of a free port.
    pub(crate) fn listen(mut self, address: &str) -> Self {
        self.listen = address.to_owned();
        self
    }

    /// Runs the exporter in a mount namespace of its own, after a shell script there.
    pub(crate) fn with_mounts(mut self, script: &str) -> Self {
        self.prelude = Some(script.to_owned());
        self
    }

    /// Runs the exporter as another user without any capability.
    pub(crate) fn with_user(mut self, uid: u32) -> Self {
        let user = format!("--reuid={uid}");
        let group = format!("--regid={uid}");
        self.wrapper = ["setpriv", &user, &group, "--clear-groups"].map(str::to_owned).to_vec();
        self
    }

    /// Gives the exporter so many file descriptors and no more.
    pub(crate) fn with_descriptors(mut self, count: u32) -> Self {
        self.wrapper = ["prlimit", &format!("--nofile={count}:{count}")].map(str::to_owned).to_vec();
        self
    }

    /// Starts it, and waits until it serves what its engines listed first.
    #[track_caller]
    pub(crate) fn start(self) -> Exporter {
        let exporter = self.start_unlisted();
        await_until("the exporter has listed the engine's containers", || {
            exporter.assert_alive();
            let page = exporter.try_scrape()?;
            let listed =
                |source: &str| page.value("container_exporter_source_lists_total", &[("source", source)]);
            ["docker", "podman", "simulated"]
                .into_iter()
                .any(|source| listed(source) >= Some(1.0))
                .then_some(())
        });
        exporter
    }

    /// Starts it, and waits until it answers at all.
    #[track_caller]
    pub(crate) fn start_unlisted(self) -> Exporter {
        let at_work = AtWork::begin();
        let directory = tempfile::tempdir().expect("a directory for the configuration");
        let config = directory.path().join("config.toml");
        let text = self.whole.clone().unwrap_or_else(|| self.toml());
        std::fs::write(&config, text).expect("it can be written");
        if !self.wrapper.is_empty() {
            // Whoever runs it then has to be able to read it.
            let rights = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(directory.path(), rights).expect("it is ours");
        }
        let mut command = match &self.prelude {
            None if self.wrapper.is_empty() => Command::new(program()),
            None => {
                let mut command = Command::new(&self.wrapper[0]);
                command.args(&self.wrapper[1..]).arg(program());
                command
            }
            Some(script) => {
                let mut command = Command::new("unshare");
                let script = format!("{script}\nexec \"$0\" \"$@\"");
                command.args(["--mount", "--propagation", "private", "sh", "-ec", &script]).arg(program());
                command
            }
        };
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.environment.iter().cloned());
        command.arg("--config").arg(&config).args(["--listen", &self.listen]).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the exporter starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let copy = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = lock(&copy);
                log.push_str(&line);
                log.push('\n');
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let exporter =
            Exporter { address: nowhere, child: Mutex::new(child), log, directory, _at_work: at_work };
        exporter.await_serving()
    }

    /// One table a section: TOML takes each only once.
    fn toml(&self) -> String {
        let mut names: Vec<&str> = self.sections.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut text = String::new();
        for name in names {
            text.push_str(&format!("[{name}]\n"));
            let mut keys: Vec<(&str, &str)> = Vec::new();
            let lines =
                self.sections.iter().filter(|(of, _)| of == name).flat_map(|(_, lines)| lines.lines());
            for (key, line) in lines.filter_map(|line| Some((line.split_once('=')?.0.trim(), line))) {
                keys.retain(|(before, _)| *before != key);
                keys.push((key, line));
            }
            keys.iter().for_each(|(_, line)| text.push_str(&format!("{line}\n")));
        }
        text
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running exporter; dropping it kills it, and shows its log if the test has failed.
pub(crate) struct Exporter {
    /// Where it serves.
    pub(crate) address: SocketAddr,
    child: Mutex<Child>,
    log: Arc<Mutex<String>>,
    directory: tempfile::TempDir,
    _at_work: AtWork,
}

impl Exporter {
    #[track_caller]
    fn await_serving(mut self) -> Self {
        self.address = await_until("the exporter says where it serves", || {
            self.assert_alive();
            let log = self.log();
            let url = log.split("serving http://").nth(1)?.split("/metrics").next()?;
            url.replace("localhost", "127.0.0.1").parse().ok()
        });
        await_until("/livez answers 200", || {
            self.assert_alive();
            get(self.address, "/livez", &[]).ok().filter(|answer| answer.status == 200)
        });
        self
    }

    #[track_caller]
    fn assert_alive(&self) {
        let ended = lock(&self.child).try_wait().expect("it is our child");
        assert!(ended.is_none(), "the exporter ended: {ended:?}");
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// Its configuration file, which SIGHUP makes it read again.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.directory.path().join("config.toml")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the exporter takes SIG{name}");
    }

    /// Waits until it has ended by itself; panics after 30 s.
    #[track_caller]
    pub(crate) fn await_end(&self) -> ExitStatus {
        await_until("the exporter ends", || lock(&self.child).try_wait().expect("it is our child"))
    }

    /// One GET.
    #[track_caller]
    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        get(self.address, target, headers).unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }

    /// The page of `/metrics` in text 0.0.4.
    #[track_caller]
    pub(crate) fn scrape(&self) -> Page {
        self.scrape_at("/metrics")
    }

    /// The page of another target, such as `/metrics?collect[]=cpu`.
    #[track_caller]
    pub(crate) fn scrape_at(&self, target: &str) -> Page {
        let answer = self.get(target, &[]);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        Page::parse(answer.text())
    }

    /// The page, if there is one just now.
    pub(crate) fn try_scrape(&self) -> Option<Page> {
        let answer = get(self.address, "/metrics", &[]).ok().filter(|answer| answer.status == 200)?;
        Some(Page::parse(answer.text()))
    }

    /// Scrapes until a page has what is wanted.
    #[track_caller]
    pub(crate) fn await_page<T>(&self, what: &str, mut find: impl FnMut(&Page) -> Option<T>) -> T {
        await_until(what, || find(&self.try_scrape()?))
    }

    /// The first page on which a container of this name has numbers of its own.
    #[track_caller]
    pub(crate) fn await_container(&self, name: &str) -> Page {
        self.await_page(&format!("{name} has numbers"), |page| {
            page.of("container_cpu_usage_seconds_total", name).map(|_| page.clone())
        })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        _ = child.kill();
        _ = child.wait();
        if std::thread::panicking() {
            say(&format!("── the exporter's log\n{}──", lock(&self.log)));
        }
    }
}
