//! A User-mode Linux guest on a throwaway overlay of a file system that stays as it is.
//!
//! Nothing is mounted where this process could see it: the guest's mounts and processes are in namespaces that end with `unshare`. So
//! ending that one process undoes all, and what is left is a directory, which is a [`Place`] in the book of engines.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::engine::Place;
use crate::error::{Context as _, Error, Result};
use crate::lab::suite::quoted;
use crate::process;

/// What `unshare` is told: its end is the end of everything inside, and what is mounted inside is nowhere else.
pub(crate) const NAMESPACES: &[&str] =
    &["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// The guest's memory; the tmpfs that holds it is a little larger.
const MEMORY: &str = "3G";
const MEMORY_AND_MORE: &str = "3500m";
/// The disk for block I/O, as the guest sees it.
pub(crate) const DISK: &str = "/dev/ubda";
const DISK_BYTES: u64 = 512 << 20;

/// Where the repository is in the guest.
const REPOSITORY: &str = "/lab/repository";

/// Mounts, then boots: `$1` is the place, `$2` the file system, `$3` the repository, the rest is the kernel's. The shell stays, as the
/// namespace's first process, because a kernel that panics must be able to kill itself. `HOME` is what the kernel makes its own
/// directory in.
const BOOT: &str = "set -e
cd \"$1\"
mount -t overlay overlay -o lowerdir=\"$2\",upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs -o size=MEMORY_AND_MORE tmpfs root/tmp
mount --bind -o ro \"$3\" rootREPOSITORY
shift 3
set +e
chroot root env -i HOME=/tmp TMPDIR=/tmp PATH=/usr/sbin:/usr/bin linux.uml \"$@\"
status=$?
exit $status
";

/// A guest that is ready to boot.
#[derive(Debug)]
pub(crate) struct Guest {
    place: Place,
    root: PathBuf,
}

impl Guest {
    /// Makes the overlay of the host's file system under `root`; `script` is what `/bin/sh` runs in it as root, once the engines are up.
    pub(crate) fn create(host: &str, root: PathBuf, script: &str) -> Result<Self> {
        let guest = Self { place: Place::create(host)?, root };
        let failed = || format!("failed to fill {}", guest.place.path("").display());
        for directory in ["root", "work", "upper/lab/repository", "upper/etc/systemd/system"] {
            fs::create_dir_all(guest.place.path(directory)).context(failed)?;
        }
        let boot = BOOT.replace("MEMORY_AND_MORE", MEMORY_AND_MORE).replace("REPOSITORY", REPOSITORY);
        fs::write(guest.place.path("boot"), boot).context(failed)?;
        fs::write(guest.lab("run"), script).context(failed)?;
        File::create(guest.lab("disk")).and_then(|disk| disk.set_len(DISK_BYTES)).context(failed)?;
        Ok(guest)
    }

    /// A file in the guest's `/lab`, from outside.
    pub(crate) fn lab(&self, name: &str) -> PathBuf {
        self.place.path("upper/lab").join(name)
    }

    /// Puts a program into the guest's `/lab`.
    pub(crate) fn add(&self, name: &str, file: &Path) -> Result<()> {
        fs::copy(file, self.lab(name)).context(|| format!("failed to copy {}", file.display())).map(|_| ())
    }

    fn command(&self) -> Result<Command> {
        let mut command = process::command("unshare", NAMESPACES);
        command
            .arg("sh")
            .arg(self.place.path("boot"))
            .arg(self.place.path(""))
            .arg(&self.root)
            .arg(repository()?);
        command.args([
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "rw",
            "con=null",
            "con0=fd:0,fd:1",
        ]);
        command.args([&format!("mem={MEMORY}"), "ubd0=/lab/disk", "panic=-1", "quiet"]);
        // By ptrace where this machine has no seccomp.
        command.arg("seccomp=auto");
        command.args(["systemd.show_status=false", "systemd.hostname=lab"]);
        Ok(command)
    }

    /// Boots, and waits for the power-off, at most `limit`; each line of the console goes to `console` and to `line`.
    pub(crate) fn run(&self, limit: Duration, console: &Path, mut line: impl FnMut(&str)) -> Result<()> {
        let failed = || format!("failed to write {}", console.display());
        let mut log = File::create(console).context(failed)?;
        let mut written = Ok(());
        let begun = Instant::now();
        let finished = process::lines_within(&mut self.command()?, limit, |text| {
            let text = text.trim_end_matches('\r');
            if written.is_ok() {
                written = writeln!(log, "{text}");
            }
            line(text);
        })
        .map_err(|error| match error {
            Error::Failed(_) if begun.elapsed() >= limit => Error::failed(format!(
                "the guest did not power off within {} s and was killed",
                limit.as_secs()
            )),
            error => error,
        })?;
        written.context(failed)?;
        let said = String::from_utf8_lossy(&finished.stderr);
        log.write_all(said.as_bytes()).context(failed)?;
        if finished.status.success() {
            return Ok(());
        }
        Err(Error::failed(format!("the guest ended with {}: {}", finished.status, said.trim())))
    }

    /// Boots with this terminal as its console.
    pub(crate) fn interactive(&self) -> Result<ExitStatus> {
        let directory = self.place.path("upper/etc/systemd/system/lab.service.d");
        let failed = || format!("failed to write into {}", directory.display());
        fs::create_dir_all(&directory).context(failed)?;
        fs::write(directory.join("shell.conf"), "[Service]\nStandardInput=tty\n").context(failed)?;
        let _terminal = Terminal::save();
        process::interactive(self.command()?.stdin(std::process::Stdio::inherit()))
    }
}

/// Puts the terminal back as it was: the guest's kernel sets it raw, and may be killed.
struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    fn save() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.0 {
            // A terminal that is gone needs nothing.
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Drain, saved);
        }
    }
}

/// What makes the repository stand where it stands outside: tests name their files by the path they were built at, and that may be
/// under what the guest mounts empty.
pub(crate) fn bind_repository() -> Result<String> {
    let path = quoted(&repository()?.display().to_string());
    Ok(format!("mkdir -p {path} && mount --bind {REPOSITORY} {path}\n"))
}

fn repository() -> Result<PathBuf> {
    std::env::current_dir().context(|| "failed to name the current directory".to_owned())
}

/// Why no guest can run here whatever is installed, and what to do; `None` if it can.
pub(crate) fn obstacle() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("Debian has User-mode Linux for x86-64 only".to_owned());
    }
    let root = rustix::process::geteuid().is_root();
    (!root).then(|| "building and booting a guest needs root: run it by `sudo -E`".to_owned())
}
