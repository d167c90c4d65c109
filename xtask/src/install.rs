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

/// Everything, in the order in which a person would ask.
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
pub(crate) fn permission(wanted: bool) -> Permission {
    let refusal = if !wanted {
        "run `cargo xtask test --install` as root on a Debian-like system to install them"
    } else if !has("apt-get") {
        "this is not a Debian-like system: install them by its own means"
    } else if !rustix::process::geteuid().is_root() {
        "installing needs root: run `sudo cargo xtask test --install`"
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
pub(crate) fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !(need.probe)()).collect()
}

/// Makes sure that nothing is missing, if it may.
///
/// `Ok` says what was done; the inner error is the list of what is still missing and how to get it.
pub(crate) fn ensure(wanted: bool) -> Result<std::result::Result<String, String>> {
    let before = missing();
    if before.is_empty() {
        return Ok(Ok("nothing is missing".to_owned()));
    }
    if let Permission::Refused(how) = permission(wanted) {
        return Ok(Err(describe(&before, &how)));
    }
    let installed = apt_install(&before)?;
    let still = missing();
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
pub(crate) fn table() -> String {
    NEEDS
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

/// cargo-deny, which no distribution packages.
pub(crate) mod cargo_deny {
    use super::*;

    /// The version whose checks `deny.toml` is written for.
    const VERSION: &str = "0.20.2";

    /// Outside `target/`, so that `cargo clean` does not cost two minutes.
    fn root() -> Option<PathBuf> {
        let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
        Some(cache.join("container-exporter/tools"))
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
    fn nothing_is_installed_unasked() {
        assert!(matches!(permission(false), Permission::Refused(how) if how.contains("--install")));
    }
}
