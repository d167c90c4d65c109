//! An image of the program under test, as deploy/docker/Dockerfile makes one, and containers of it with the options that
//! deploy/docker/README.md documents.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::{Page, Scope, await_until, get, program, say, skip};

const DOCKERFILE: &str = include_str!("../../../../../deploy/docker/Dockerfile");
const README: &str = include_str!("../../../../../deploy/docker/README.md");
const IMAGE: &str = "container-exporter:e2e";

/// Makes the image unless it is there from this very program.
#[track_caller]
fn ensure_image(scope: &Scope) {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let metadata = std::fs::metadata(program()).expect("the program is there");
        let stamp = format!("{}-{}", metadata.mtime(), metadata.len());
        let (_, known, _) = scope.try_cli(&["image", "inspect", "-f", "{{.Config.Labels.program}}", IMAGE]);
        if known == stamp {
            return;
        }
        _ = scope.try_cli(&["rmi", "-f", IMAGE]);
        let directory = tempfile::tempdir().expect("a directory");
        let tar = directory.path().join("image.tar");
        pack(&tar);
        let mut words = vec!["import".to_owned()];
        let instructions = DOCKERFILE.lines().filter(|line| {
            ["USER ", "EXPOSE ", "HEALTHCHECK ", "ENTRYPOINT "].iter().any(|word| line.starts_with(word))
        });
        let label = format!("LABEL program={stamp}");
        words.extend(instructions.chain([&*label]).flat_map(|line| ["-c".to_owned(), line.to_owned()]));
        words.extend([tar.display().to_string(), IMAGE.to_owned()]);
        scope.cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
    });
}

/// The program where the Dockerfile puts it, with the libraries that a program built for tests needs.
fn pack(tar: &Path) {
    let root = tempfile::tempdir().expect("a directory");
    let copy = |from: &Path, to: &Path| {
        let to = root.path().join(to.strip_prefix("/").expect("an absolute path"));
        std::fs::create_dir_all(to.parent().expect("it has one")).expect("a directory");
        std::fs::copy(from, to).unwrap_or_else(|error| panic!("failed to copy {}: {error}", from.display()));
    };
    copy(&program(), Path::new("/container-exporter"));
    let output = Command::new("ldd").arg(program()).output().expect("ldd runs");
    // A static program has none: ldd says so and fails.
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries: BTreeSet<&str> = listed.split_whitespace().filter(|word| word.starts_with('/')).collect();
    libraries
        .iter()
        .filter(|path| Path::new(path).is_file())
        .for_each(|path| copy(path.as_ref(), path.as_ref()));
    let status = Command::new("tar").arg("-C").arg(root.path()).arg("-cf").arg(tar).arg(".").status();
    assert!(status.is_ok_and(|status| status.success()), "tar packs the image");
}

/// How the exporter is run in a container: the documented options, and what a test changes about them.
pub(super) struct Run<'scope> {
    scope: &'scope Scope,
    options: Vec<String>,
}

impl<'scope> Run<'scope> {
    /// The options of `docker run` in deploy/docker/README.md, with this engine's socket. `None` where the engine has none.
    pub(super) fn documented(scope: &'scope Scope) -> Option<Self> {
        let Some(socket) = scope.socket() else { return skip("the engine is not at a socket of this host") };
        ensure_image(scope);
        let block = README.split("$ docker run ").nth(1).expect("the README runs it");
        let block = block.split("```").next().expect("the block ends");
        let group = std::fs::metadata(socket).expect("the socket is there").gid().to_string();
        let text = block
            .replace("\\\n", " ")
            .replace("\"$(stat -c %g /var/run/docker.sock)\"", &group)
            .replace("-v /var/run/docker.sock:", &format!("-v {socket}:"));
        let mut options: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        assert_eq!(options.pop().as_deref(), Some("container-exporter"), "the last word is the image");
        let mut run = Self { scope, options };
        run.options.retain(|word| word != "-d");
        Some(run.without("--name").without("--restart"))
    }

    /// Leaves out an option and its value.
    pub(super) fn without(self, option: &str) -> Self {
        self.without_value(option, |_| true)
    }

    /// Leaves out a mount at a path of the container.
    pub(super) fn without_mount(self, at: &str) -> Self {
        self.without_value("-v", |value| value.split(':').nth(1) == Some(at))
    }

    fn without_value(mut self, option: &str, is_meant: impl Fn(&str) -> bool) -> Self {
        while let Some(at) =
            self.options.windows(2).position(|words| words[0] == option && is_meant(&words[1]))
        {
            self.options.drain(at..at + 2);
        }
        self
    }

    /// Adds an option and its value.
    pub(super) fn with(mut self, option: &str, value: &str) -> Self {
        self.options.extend([option.to_owned(), value.to_owned()]);
        self
    }

    /// Starts an exporter that watches the containers whose names the test begins with `idle`, and waits for its first list.
    #[track_caller]
    pub(super) fn start(self, name: &str) -> Contained<'scope> {
        let name = self.scope.name(name);
        let mut words = vec!["run".to_owned(), "-d".to_owned(), "--name".to_owned(), name.clone()];
        words.extend(self.options);
        // By a variable, which the image's health check has as well. Freed again, and taken by nobody in between.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        words.extend(["-e".to_owned(), format!("CONTAINER_EXPORTER__SERVER__LISTEN={address}")]);
        words.push(IMAGE.to_owned());
        let directory = configure(self.scope, &mut words);
        let contained = Contained { scope: self.scope, name, address, _directory: directory };
        self.scope.cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
        await_until("the contained exporter has listed the containers", || {
            let labels = [("source", "docker")];
            contained
                .try_scrape()?
                .value("container_exporter_source_lists_total", &labels)?
                .ge(&1.0)
                .then_some(())
        });
        contained
    }

    /// What `doctor` says there.
    #[track_caller]
    pub(super) fn doctor(&self) -> String {
        let mut words = vec!["run".to_owned(), "--rm".to_owned()];
        words.extend(self.options.iter().cloned());
        words.extend([IMAGE, "--listen", "127.0.0.1:0", "doctor"].map(str::to_owned));
        // Where it finds a problem, its exit code says so.
        let (_, said, error) = self.scope.try_cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said.contains("clock"), "the doctor did not come to its end: {said}{error}");
        said
    }
}

/// The groups whose files nobody needs rights for: not what is open in others' processes, nor the files of volumes.
pub(super) const UNPRIVILEGED: &str = r#"groups = ["standard", "cpu_detail", "memory_detail", "memory_numa", "huge_pages", "io_detail", "resources", "network_detail"]"#;

/// Gives the container a configuration file; the directory has to live as long.
fn configure(scope: &Scope, words: &mut Vec<String>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory for the configuration");
    let path: PathBuf = directory.path().join("config.toml");
    let include = scope.name("idle*");
    let text =
        format!("[metrics]\nmax_age_ms = 0\n{UNPRIVILEGED}\n[containers]\ninclude = [\"name={include}\"]\n");
    let mut file = std::fs::File::create(&path).expect("it can be written");
    file.write_all(text.as_bytes()).expect("it can be written");
    file.set_permissions(std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let image = words.len() - 1;
    let mount = format!("{}:/config.toml:ro", path.display());
    words.splice(image..image, ["-v".to_owned(), mount]);
    words.extend(["--config", "/config.toml"].map(str::to_owned));
    directory
}

/// An exporter in a container; dropping it removes it, and shows its log if the test has failed.
pub(super) struct Contained<'scope> {
    scope: &'scope Scope,
    name: String,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Contained<'_> {
    fn log(&self) -> String {
        let (_, out, err) = self.scope.try_cli(&["logs", &self.name]);
        out + &err
    }

    /// One field of `inspect`, by a Go template.
    pub(super) fn inspect(&self, template: &str) -> String {
        self.scope.cli(&["inspect", "-f", template, &self.name])
    }

    /// The page, if there is one just now.
    pub(super) fn try_scrape(&self) -> Option<Page> {
        let answer = get(self.address, "/metrics", &[]).ok().filter(|answer| answer.status == 200)?;
        Some(Page::parse(answer.text()))
    }

    /// Scrapes until a page has what is wanted.
    #[track_caller]
    pub(super) fn await_page<T>(&self, what: &str, mut find: impl FnMut(&Page) -> Option<T>) -> T {
        await_until(what, || find(&self.try_scrape()?))
    }
}

impl Drop for Contained<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("── the contained exporter's log\n{}──", self.log()));
        }
        _ = self.scope.try_cli(&["rm", "-f", "-v", &self.name]);
    }
}
