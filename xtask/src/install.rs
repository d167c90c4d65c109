//! What the end-to-end tests need from the machine, and the packages that bring it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::process::{self, When};

/// One thing the tests need.
#[derive(Debug)]
pub(crate) struct Need {
    /// The Debian packages that bring it, best first; the first that the archive has is installed.
    packages: &'static [&'static str],
    /// What for.
    purpose: &'static str,
    /// Is it there?
    probe: fn() -> bool,
}

/// What is wanted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kit {
    /// The machine's own engine.
    Engine,
    /// An engine built from its Go modules, which runs beside the machine's containerd.
    NewestEngine,
    /// A guest that brings its own.
    Guest,
    /// The programs that the tests send OTLP to.
    Peers,
}

impl Kit {
    fn needs(self) -> Vec<&'static Need> {
        let of = |tables: &[&'static [Need]]| tables.iter().flat_map(|table| table.iter()).collect();
        match self {
            Self::Engine => of(&[NEEDS]),
            Self::NewestEngine => of(&[NEEDS, GO_NEEDS, RUNC_NEEDS]),
            Self::Guest => of(&[GUEST_NEEDS]),
            Self::Peers => of(&[GO_NEEDS]),
        }
    }

    /// How a person installs what is missing.
    fn command(self) -> &'static str {
        match self {
            Self::Engine => "cargo xtask test --install",
            Self::NewestEngine => "cargo xtask lab check engine29 --install",
            Self::Guest => "cargo xtask lab check trixie --install",
            Self::Peers => "cargo xtask lab peers --install",
        }
    }
}

/// What a guest needs to be built and booted.
const GUEST_NEEDS: &[Need] = &[
    Need { packages: &["mmdebstrap"], purpose: "a guest's root file system", probe: || has("mmdebstrap") },
    Need {
        packages: &["debian-archive-keyring"],
        purpose: "the keys of the guest's packages",
        probe: || Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists(),
    },
    Need { packages: &["util-linux"], purpose: "namespaces of its own (unshare)", probe: || has("unshare") },
];

/// What building a program from its modules needs.
const GO_NEEDS: &[Need] = &[Need {
    packages: &["golang-go"],
    purpose: "building Go programs (Go 1.21 or newer, which fetches the newer one that a module asks for)",
    probe: go_is_new_enough,
}];

/// What building an engine's runc needs besides.
const RUNC_NEEDS: &[Need] = &[
    Need { packages: &["gcc"], purpose: "runc's part in C", probe: || has("cc") },
    Need { packages: &["pkg-config", "pkgconf"], purpose: "finding libseccomp", probe: || has("pkg-config") },
    Need {
        packages: &["libseccomp-dev"],
        purpose: "runc's filters of system calls",
        probe: || {
            process::capture(&mut process::command("pkg-config", &["--exists", "libseccomp"]), When::Working)
                .is_ok_and(|said| said.status.success())
        },
    },
];

fn go_is_new_enough() -> bool {
    let mut command = process::command("go", &["env", "GOVERSION"]);
    process::capture(command.env("GOTOOLCHAIN", "local"), When::Working)
        .is_ok_and(|said| parse_go_version(&said.text()).is_some_and(|version| version >= (1, 21)))
}

/// `go1.26.8`.
fn parse_go_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().strip_prefix("go")?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Everything for the machine's own engine and the tests, in the order in which a person would ask.
const NEEDS: &[Need] = &[
    Need { packages: &["docker.io"], purpose: "the engine (dockerd)", probe: || has("dockerd") },
    Need {
        // Newer releases have the client in a package of its own; older ones in docker.io, with no docker-cli at all.
        packages: &["docker-cli", "docker.io"],
        purpose: "the engine's client (docker)",
        probe: || has("docker"),
    },
    Need {
        packages: &["containerd"],
        purpose: "the engine's supervisor (containerd)",
        probe: || has("containerd"),
    },
    Need { packages: &["runc"], purpose: "starting containers (runc)", probe: || has("runc") },
    Need {
        packages: &["iptables"],
        purpose: "letting containers reach each other",
        probe: || has("iptables"),
    },
    Need { packages: &["iproute2"], purpose: "a bridge of the tests' own (ip)", probe: || has("ip") },
    Need {
        packages: &["busybox-static"],
        purpose: "the test image (a static busybox)",
        probe: || static_busybox().is_some(),
    },
    Need {
        packages: &["prometheus"],
        purpose: "the judge of every page (prometheus, promtool)",
        probe: || has("prometheus") && has("promtool"),
    },
    Need {
        packages: &["prometheus-alertmanager"],
        purpose: "who is told of alerts (prometheus-alertmanager, amtool)",
        probe: || has("amtool") && (has("prometheus-alertmanager") || has("alertmanager")),
    },
    Need {
        packages: &["apparmor"],
        purpose: "the engine's profile where the kernel has AppArmor on (apparmor_parser)",
        probe: || !apparmor_on() || has("apparmor_parser"),
    },
];

fn has(program: &str) -> bool {
    process::find_program(program).is_some()
}

fn apparmor_on() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

/// A busybox that needs no libraries, so that it runs in an image of its own.
pub(crate) fn static_busybox() -> Option<PathBuf> {
    let file = process::find_program("busybox")?;
    let bytes = std::fs::read(&file).ok()?;
    is_static_elf(&bytes).then_some(file)
}

/// Has this 64-bit little-endian ELF file no interpreter (no `PT_INTERP` program header)?
fn is_static_elf(bytes: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, width: usize| -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(width)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if bytes.get(..6) != Some(b"\x7fELF\x02\x01") {
        return false;
    }
    let (Some(start), Some(size), Some(count)) = (number(0x20, 8), number(0x36, 2), number(0x38, 2)) else {
        return false;
    };
    (0..count).all(|index| {
        let header = start.saturating_add(index.saturating_mul(size));
        usize::try_from(header)
            .ok()
            .and_then(|at| number(at, 4))
            .is_some_and(|kind| kind != u64::from(PT_INTERP))
    })
}

/// May this run install packages, and does the machine allow it?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Yes.
    Granted,
    /// No: why, and what to do.
    Refused(String),
}

/// Asks the machine.
pub(crate) fn permission(kit: Kit, wanted: bool) -> Permission {
    let refusal = if !wanted {
        return Permission::Refused(format!(
            "run `{}` as root on a Debian-like system to install them",
            kit.command()
        ));
    } else if !has("apt-get") {
        "this is not a Debian-like system: install them by its own means"
    } else if !rustix::process::geteuid().is_root() {
        return Permission::Refused(format!("installing needs root: run `sudo -E {}`", kit.command()));
    } else if docker_ce_installed() {
        "docker-ce is installed here, beside which docker.io cannot stand: install the rest by hand"
    } else {
        return Permission::Granted;
    };
    Permission::Refused(refusal.to_owned())
}

fn docker_ce_installed() -> bool {
    process::capture(&mut process::command("dpkg", &["-s", "docker-ce"]), When::Working)
        .is_ok_and(|said| said.status.success() && said.text().contains("Status: install ok installed"))
}

/// What is missing on this machine.
fn missing(kit: Kit) -> Vec<&'static Need> {
    kit.needs().into_iter().filter(|need| !(need.probe)()).collect()
}

/// Makes sure that nothing is missing for the machine's own engine, if it may.
///
/// `Ok` says what was done; the inner error is the list of what is still missing and how to get it.
pub(crate) fn ensure(wanted: bool) -> Result<std::result::Result<String, String>> {
    ensure_kit(Kit::Engine, wanted)
}

/// The same for another kit.
pub(crate) fn ensure_kit(kit: Kit, wanted: bool) -> Result<std::result::Result<String, String>> {
    let before = missing(kit);
    if before.is_empty() {
        return Ok(Ok("nothing is missing".to_owned()));
    }
    if let Permission::Refused(how) = permission(kit, wanted) {
        return Ok(Err(describe(&before, &how)));
    }
    let installed = apt_install(&before)?;
    let still = missing(kit);
    if still.is_empty() {
        Ok(Ok(format!("installed {}; none of their services was started", installed.join(" "))))
    } else {
        Ok(Err(describe(&still, "the packages were installed, and yet it is not found on PATH")))
    }
}

/// One line for each missing thing, then how to get it.
fn describe(missing: &[&Need], how: &str) -> String {
    let mut text = String::from("missing:");
    for need in missing {
        text.push_str(&format!("\n  {:<24} {}", need.packages.join(" or "), need.purpose));
    }
    format!("{text}\n{how}")
}

/// The whole table, for `lab check`.
pub(crate) fn table(kit: Kit) -> String {
    kit.needs()
        .iter()
        .map(|need| {
            let state = if (need.probe)() { "ok     " } else { "missing" };
            format!("{state}  {:<24} {}\n", need.packages.join(" or "), need.purpose)
        })
        .collect()
}

fn apt_install(missing: &[&Need]) -> Result<Vec<&'static str>> {
    let guard = NoServices::put()?;
    let apt = |args: &[&str]| -> Result<()> {
        let mut command = process::command("apt-get", &["-o", "DPkg::Lock::Timeout=300"]);
        let finished = process::show(command.args(args).env("DEBIAN_FRONTEND", "noninteractive"))?;
        if finished.status.success() {
            return Ok(());
        }
        Err(Error::failed(format!("`apt-get {}` ended with {}", args.join(" "), finished.status)))
    };
    apt(&["-q", "update"])?;
    let mut packages: Vec<&str> = Vec::new();
    for need in missing {
        let package = need.packages.iter().find(|package| available(package)).or(need.packages.last());
        if let Some(package) = package.filter(|package| !packages.contains(package)) {
            packages.push(package);
        }
    }
    let mut arguments = vec!["-q", "install", "-y", "--no-install-recommends"];
    arguments.extend(&packages);
    apt(&arguments)?;
    drop(guard);
    Ok(packages)
}

/// Has the archive an installable version?
fn available(package: &str) -> bool {
    process::capture(&mut process::command("apt-cache", &["policy", package]), When::Working).is_ok_and(
        |said| {
            said.text().lines().any(|line| {
                line.trim().strip_prefix("Candidate:").is_some_and(|version| version.trim() != "(none)")
            })
        },
    )
}

/// Keeps freshly installed services from starting: the tests start an engine of their own.
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    /// Puts a policy that refuses every start, unless the machine has a policy already.
    fn put() -> Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let created =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(Path::new(POLICY));
        match created {
            Ok(mut file) => {
                let guard = Self { ours: true };
                file.write_all(b"#!/bin/sh\nexit 101\n").context(|| format!("failed to write {POLICY}"))?;
                Ok(guard)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(Error::failed(format!("failed to create {POLICY}: {error}"))),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            eprintln!(
                "failed to remove {POLICY}, which keeps services from starting: {error}; remove it by hand"
            );
        }
    }
}

/// Where things stay that are costly to build: outside `target/`, so that `cargo clean` does not take them.
pub(crate) fn cache() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    Some(cache.join("container-exporter"))
}

/// cargo-deny, which no distribution packages.
pub(crate) mod cargo_deny {
    use super::*;

    /// The version whose checks `deny.toml` is written for.
    const VERSION: &str = "0.20.2";

    fn root() -> Option<PathBuf> {
        cache().map(|cache| cache.join("tools"))
    }

    /// Where it is, if it is.
    pub(crate) fn find() -> Option<PathBuf> {
        let cached = root().map(|root| root.join("bin/cargo-deny")).filter(|file| file.is_file());
        cached.or_else(|| process::find_program("cargo-deny"))
    }

    /// How a person gets it.
    pub(crate) fn hint() -> String {
        format!("run with --install, or `cargo install --locked cargo-deny@{VERSION}`")
    }

    /// Builds it into the cache directory; takes about two minutes.
    pub(crate) fn install() -> Result<()> {
        let root = root().ok_or_else(|| {
            Error::failed("neither XDG_CACHE_HOME nor HOME is set, so cargo-deny has no place")
        })?;
        let package = format!("cargo-deny@{VERSION}");
        let mut command = process::cargo(&["install", "--quiet", "--locked", &package, "--root"]);
        process::succeed(command.arg(root), When::Working).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_file_has_no_interpreter() {
        assert!(!is_static_elf(b""));
        assert!(!is_static_elf(b"#!/bin/sh\n"));
        let elf = |kind: u8| {
            let mut bytes = vec![0_u8; 0x40 + 0x38];
            bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
            bytes[0x20] = 0x40;
            bytes[0x36] = 0x38;
            bytes[0x38] = 1;
            bytes[0x40] = kind;
            bytes
        };
        assert!(is_static_elf(&elf(1)));
        assert!(!is_static_elf(&elf(3)), "PT_INTERP");
        assert!(!is_static_elf(&elf(1)[..0x40]), "cut off");
    }

    #[test]
    fn what_is_missing_is_named_with_its_purpose_and_the_way_to_get_it() {
        let text = describe(&[&NEEDS[0], &NEEDS[6]], "do this");
        assert!(
            text.contains("docker.io") && text.contains("busybox-static") && text.ends_with("\ndo this"),
            "{text}"
        );
    }

    #[test]
    fn go_tells_its_version() {
        assert_eq!(parse_go_version("go1.26.8\n"), Some((1, 26)));
        assert_eq!(parse_go_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(parse_go_version("devel"), None);
    }

    #[test]
    fn nothing_is_installed_unasked() {
        assert!(
            matches!(permission(Kit::Guest, false), Permission::Refused(how) if how.contains("--install"))
        );
    }
}
