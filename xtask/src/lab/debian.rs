//! A Debian root file system that boots as a User-mode Linux guest, with systemd, Docker and Podman.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::lab::cache::Recipe;
use crate::lab::suite::quoted;
use crate::process::{self, When};

/// Where the file system is in the built directory.
pub(crate) const ROOT: &str = "root";

/// Engines, what they start containers with, the guest's kernel, its init, and what tests call.
const PACKAGES: &[&str] = &[
    "aardvark-dns",
    "busybox-static",
    "ca-certificates",
    "conmon",
    "containerd",
    "crun",
    "dbus",
    "dbus-user-session",
    "docker-cli",
    "docker.io",
    "e2fsprogs",
    "fuse-overlayfs",
    "iproute2",
    "iptables",
    "kmod",
    "libpam-systemd",
    "netavark",
    "passt",
    "podman",
    "procps",
    "prometheus",
    "rootlesskit",
    "runc",
    "slirp4netns",
    "systemd",
    "systemd-container",
    "systemd-sysv",
    "uidmap",
    "user-mode-linux",
    "util-linux",
];

/// What the packages leave to us.
const FILES: &[(&str, &str)] = &[
    ("etc/modules-load.d/lab.conf", "overlay\nbridge\nveth\n"),
    (
        // The root is a hostfs, on which overlayfs does not work.
        "etc/fstab",
        "tmpfs /var/lib/docker tmpfs size=1g 0 0\n\
         tmpfs /var/lib/containerd tmpfs size=1g 0 0\n\
         tmpfs /var/lib/containers tmpfs size=1g 0 0\n\
         tmpfs /home tmpfs size=1g 0 0\n\
         tmpfs /tmp tmpfs size=1g 0 0\n\
         tmpfs /var/tmp tmpfs size=1g 0 0\n",
    ),
    // As udev would have it: rootless engines make their network through it.
    ("etc/tmpfiles.d/lab.conf", "z /dev/net/tun 0666 - - -\n"),
    // The guest's kernel has no netfilter: bridges work without.
    (
        "etc/docker/daemon.json",
        "{\"iptables\": false, \"ip6tables\": false, \"storage-driver\": \"overlay2\"}\n",
    ),
    (
        "etc/systemd/system/lab.service",
        "[Unit]\nAfter=docker.service podman.socket\nWants=docker.service podman.socket\n\
         [Service]\nType=oneshot\nExecStart=/bin/sh /lab/run\nExecStopPost=/bin/systemctl poweroff -ff\n\
         StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/console\nDelegate=yes\n",
    ),
];

/// Units that would take the console, or the place of what a test starts itself.
const MASKED: &[&str] =
    &["console-getty.service", "getty.target", "prometheus.service", "prometheus-node-exporter.service"];

/// The guests' kernel is of one release: its User-mode Linux takes system calls by seccomp, which is half as dear as by ptrace, and that
/// of Debian 13 (6.12) panics now and then where a process is killed while it forks.
const KERNEL_SUITE: &str = "forky";
const KERNEL: &str = "user-mode-linux";

/// apt's preferences for a release that is not the kernel's own: nothing else comes from there.
fn kernel_preferences() -> String {
    format!(
        "Package: *\nPin: release n={KERNEL_SUITE}\nPin-Priority: -1\n\n\
         Package: {KERNEL}\nPin: release n={KERNEL_SUITE}\nPin-Priority: 990\n"
    )
}

/// The recipe of a release's file system.
pub(crate) fn recipe(suite: &'static str) -> Recipe {
    let files: String = FILES.iter().map(|(path, text)| format!("{path}:\n{text}")).collect();
    let text = format!(
        "debian {suite} for {}\n{}\n{files}masked {}\n{KERNEL} of {KERNEL_SUITE}\n",
        std::env::consts::ARCH,
        PACKAGES.join(" "),
        MASKED.join(" ")
    );
    let parts = &["root/sbin/init", "root/usr/bin/linux.uml", "root/usr/bin/podman", "root/etc/fstab"];
    Recipe { name: suite, text, parts }
}

/// The release's file system, built if it is not there; a few hundred megabytes of packages, half a minute.
pub(crate) fn ensure(suite: &'static str) -> Result<PathBuf> {
    let built = recipe(suite).ensure(|directory| {
        let mirror = mirror()?;
        println!("building {suite} from {mirror}");
        bootstrap(suite, &mirror, &directory.join(ROOT))?;
        finish(&directory.join(ROOT))
    })?;
    Ok(built.join(ROOT))
}

/// In a mount and a pid namespace of its own, so that whatever ends it leaves no process, and no mount into which a removal could run.
fn bootstrap(suite: &str, mirror: &str, root: &Path) -> Result<()> {
    let mut command = process::command("unshare", crate::lab::guest::NAMESPACES);
    command.args(["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"]);
    command.arg("--aptopt=APT::Install-Recommends \"false\"");
    // A release in the making is signed for a week only, and a mirror may be behind.
    command.arg("--aptopt=Acquire::Check-Valid-Until \"false\"");
    command.arg(format!("--include={}", PACKAGES.join(",")));
    if suite != KERNEL_SUITE {
        // The hook has the new root as its argument.
        let preferences = quoted(&kernel_preferences());
        command.arg(format!("--setup-hook=printf %s {preferences} > \"$1/etc/apt/preferences.d/kernel\""));
    }
    command.arg(suite).arg(root).arg(format!("deb {mirror} {suite} main"));
    if suite != KERNEL_SUITE {
        command.arg(format!("deb {mirror} {KERNEL_SUITE} main"));
    }
    process::succeed(&mut command, When::Working).map(|_| ())
}

/// Makes it bootable.
fn finish(root: &Path) -> Result<()> {
    let write = |path: &str, text: &str| -> std::io::Result<()> {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, text)
    };
    let link = |target: &Path, path: PathBuf| -> std::io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        symlink(target, path)
    };
    let failed = |what: &str| format!("failed to make {what} in {}", root.display());
    for (path, text) in FILES {
        write(path, text).context(|| failed(path))?;
    }
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        // A package may have masked or enabled it.
        let _ = fs::remove_file(units.join(unit));
        link(Path::new("/dev/null"), units.join(unit)).context(|| failed(unit))?;
    }
    let wanted = units.join("multi-user.target.wants/lab.service");
    link(Path::new("../lab.service"), wanted).context(|| failed("lab.service wanted"))?;
    fs::create_dir_all(root.join("lab")).context(|| failed("/lab"))?;

    let modules =
        fs::read_dir(root.join("usr/lib/uml/modules")).context(|| failed("the kernel's modules"))?;
    for version in modules.flatten() {
        let at = root.join("usr/lib/modules").join(version.file_name());
        let target = Path::new("/usr/lib/uml/modules").join(version.file_name());
        link(&target, at).context(|| failed("the kernel's modules"))?;
    }
    Ok(())
}

/// The variable that names a mirror where the machine's own sources have none.
const MIRROR: &str = "CONTAINER_EXPORTER_LAB_MIRROR";

/// The Debian mirror that this machine's apt uses.
pub(crate) fn mirror() -> Result<String> {
    if let Ok(given) = std::env::var(MIRROR) {
        return Ok(given);
    }
    let format = "$(REPO_URI) $(LABEL)";
    let arguments = ["indextargets", "--format", format, "Created-By: Packages"];
    let said = process::succeed(&mut process::command("apt-get", &arguments), When::Working)?.text();
    pick_mirror(&said).ok_or_else(|| {
        Error::failed(format!(
            "this machine's apt knows no Debian mirror; run `apt-get update`, or set {MIRROR} to one"
        ))
    })
}

/// The first address whose label is Debian's main archive, or that looks like it where no label was fetched yet.
fn pick_mirror(targets: &str) -> Option<String> {
    let lines = || targets.lines().filter_map(|line| line.split_once(' '));
    let labelled = lines().find(|(_, label)| label.trim() == "Debian");
    let named = || lines().find(|(uri, _)| uri.trim_end_matches('/').ends_with("/debian"));
    labelled.or_else(named).map(|(uri, _)| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_a_recipe_of_its_own() {
        assert_ne!(recipe("trixie").text, recipe("forky").text);
        assert!(recipe("trixie").text.contains("podman"));
    }

    #[test]
    fn the_mirror_is_the_main_archive() {
        let targets = "http://tool.test/apt Tool\nhttp://mirror.test/debian-security/ Debian-Security\n\
            http://mirror.test/some/ Debian\nhttp://mirror.test/debian/ Debian\n";
        assert_eq!(pick_mirror(targets).as_deref(), Some("http://mirror.test/some/"));
        assert_eq!(pick_mirror("http://a.test/debian/ \n").as_deref(), Some("http://a.test/debian/"));
        assert_eq!(pick_mirror("http://tool.test/apt Tool\n"), None);
    }
}
