//! Docker Compose and the programs of the stack, from packages of a newer Debian than most machines have.
//!
//! They are unpacked into the cache, not installed: the machine's own are left alone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::lab::cache::Recipe;
use crate::lab::debian;
use crate::process::{self, When};

/// The release that has Compose 2.24 or newer and the versions that `compose.yaml` pins.
const SUITE: &str = "forky";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const ROOT: &str = "root";

const PACKAGES: &[&str] = &[
    "docker-compose",
    "kustomize",
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-node-exporter",
    "promtool",
];

/// Where they were unpacked.
#[derive(Debug)]
pub(crate) struct Debian {
    root: PathBuf,
}

impl Debian {
    /// A file of a package, by its path without the first slash.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Docker Compose, as a program that stands alone.
    pub(crate) fn compose(&self) -> PathBuf {
        self.file(COMPOSE)
    }
}

const COMPOSE: &str = "usr/libexec/docker/cli-plugins/docker-compose";

fn recipe() -> Recipe {
    let text = format!("packages of debian {SUITE} for {}\n{}\n", std::env::consts::ARCH, PACKAGES.join(" "));
    let parts = &[
        "root/usr/libexec/docker/cli-plugins/docker-compose",
        "root/usr/bin/prometheus",
        "root/usr/bin/promtool",
        "root/usr/bin/prometheus-alertmanager",
        "root/usr/bin/amtool",
        "root/usr/bin/prometheus-node-exporter",
        "root/usr/bin/kustomize",
    ];
    Recipe { name: "stack", text, parts }
}

/// Why they cannot be had here, and what to do.
pub(crate) fn obstacle() -> Option<String> {
    let lacks = |name: &str| process::find_program(name).is_none();
    if let Some(name) = ["apt-get", "dpkg-deb"].into_iter().find(|name| lacks(name)) {
        return Some(format!(
            "{name} is not here: Docker Compose and Prometheus come from Debian's packages"
        ));
    }
    (!Path::new(KEYRING).exists()).then(|| {
        "the keys of Debian's packages are not here; `apt-get install debian-archive-keyring` brings them"
            .to_owned()
    })
}

/// The programs, fetched if they are not there: 80 MB.
pub(crate) fn ensure() -> Result<Debian> {
    let directory = recipe().ensure(|directory| {
        let mirror = debian::mirror()?;
        println!("fetching {} of {SUITE} from {mirror}", PACKAGES.join(", "));
        let apt = Apt::new(&directory.join("apt"), &mirror)?;
        apt.run(&["update"])?;
        let mut words = vec!["download"];
        words.extend(PACKAGES);
        apt.run(&words)?;
        apt.unpack(&directory.join(ROOT))?;
        fs::remove_dir_all(&apt.directory).context(|| format!("failed to remove {}", apt.directory.display()))
    })?;
    Ok(Debian { root: directory.join(ROOT) })
}

/// An apt that knows one release, and nothing of this machine.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(directory: &Path, mirror: &str) -> Result<Self> {
        let failed = || format!("failed to make {}", directory.display());
        for name in ["lists/partial", "cache/archives/partial", "packages"] {
            fs::create_dir_all(directory.join(name)).context(failed)?;
        }
        // A release in the making is signed for a week only, and a mirror may be behind.
        let source = format!("deb [signed-by={KEYRING} check-valid-until=no] {mirror} {SUITE} main\n");
        fs::write(directory.join("sources.list"), source).context(failed)?;
        Ok(Self { directory: directory.to_owned() })
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let mut command = process::command("apt-get", &["--quiet"]);
        for (key, value) in [
            ("Dir::Etc::SourceList", at("sources.list")),
            ("Dir::Etc::SourceParts", "/dev/null".to_owned()),
            ("Dir::Etc::Preferences", "/dev/null".to_owned()),
            ("Dir::Etc::PreferencesParts", "/dev/null".to_owned()),
            ("Dir::State::Lists", at("lists")),
            // So that what is installed here, in whatever version, is not preferred.
            ("Dir::State::Status", "/dev/null".to_owned()),
            ("Dir::Cache", at("cache")),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".to_owned()),
            ("APT::Sandbox::User", "root".to_owned()),
        ] {
            command.arg("-o").arg(format!("{key}={value}"));
        }
        command.args(words).current_dir(self.directory.join("packages"));
        process::succeed(&mut command, When::Working).map(|_| ())
    }

    fn unpack(&self, root: &Path) -> Result<()> {
        let packages = self.directory.join("packages");
        let failed = || format!("failed to list {}", packages.display());
        for package in fs::read_dir(&packages).context(failed)? {
            let package = package.context(failed)?.path();
            let mut command = process::command("dpkg-deb", &["--extract"]);
            process::succeed(command.arg(package).arg(root), When::Working)?;
        }
        if root.join(COMPOSE).is_file() {
            return Ok(());
        }
        Err(Error::failed(format!("the package docker-compose of {SUITE} has no {COMPOSE}")))
    }
}
