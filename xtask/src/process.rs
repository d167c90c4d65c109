//! Commands that a person can interrupt.
//!
//! Every command runs in a process group of its own, so that Ctrl-C reaches this process only; a thread that listens
//! for SIGINT, SIGTERM and SIGHUP ends the running groups, the task returns [`Error::Interrupted`], and what guards own
//! is undone by commands that are [`Guarded`](When::Guarded): those run also after the signal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Context as _, Error, Result};

/// How long a command may take to end after the first signal before it is killed.
const GRACE: Duration = Duration::from_secs(5);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The process groups to end at a signal. A group leaves before its leader is reaped, so no number here is ever stale.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
static SIGNALLED: Condvar = Condvar::new();

/// When a command may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Work: refused after a signal, ended by one.
    Working,
    /// The same with a limit of its own.
    Within(Duration),
    /// Undoing: runs also after a signal, which does not end it.
    Guarded,
}

impl When {
    /// How long a command may take: enough for a cold build, and for a packet filter that is locked.
    fn limit(self) -> Duration {
        match self {
            Self::Working => Duration::from_mins(45),
            Self::Within(limit) => limit,
            Self::Guarded => Duration::from_mins(1),
        }
    }

    fn is_work(self) -> bool {
        self != Self::Guarded
    }
}

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it wrote to stdout.
    pub(crate) stdout: Vec<u8>,
    /// What it wrote to stderr; empty where that went to the terminal.
    pub(crate) stderr: Vec<u8>,
}

impl Finished {
    /// Stdout as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Makes the workspace the current directory, wherever `cargo xtask` was called.
pub(crate) fn enter_repository_root() -> Result<()> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    // The binary may have been moved away from where it was built; cargo says where it is run.
    let run_in = std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .and_then(|dir| dir.parent().map(Path::to_path_buf));
    let Some(root) = run_in.or(built_in).filter(|root| root.join("Cargo.toml").is_file()) else {
        return Ok(());
    };
    std::env::set_current_dir(&root).context(|| format!("failed to enter {}", root.display()))
}

/// Starts the thread that turns signals into [`Error::Interrupted`].
pub(crate) fn listen_for_signals() -> Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .context(|| "failed to listen for signals".to_owned())?;
    thread::spawn(move || {
        for _ in signals.forever() {
            let again = INTERRUPTED.swap(true, Ordering::SeqCst);
            let words = if again {
                "still undoing what was started; this is bounded, please wait"
            } else {
                "stopping"
            };
            // After SIGHUP nobody reads this, and eprintln! would end the thread.
            let _ = writeln!(std::io::stderr(), "\n{words}");
            let running = groups();
            end(&running, Signal::TERM);
            SIGNALLED.notify_all();
            drop(running);
            thread::spawn(|| {
                thread::sleep(GRACE);
                end(&groups(), Signal::KILL);
            });
        }
    });
    Ok(())
}

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(groups: &[Pid], signal: Signal) {
    for group in groups {
        // A group that ended meanwhile is what was wanted.
        let _ = rustix::process::kill_process_group(*group, signal);
    }
}

/// Has a signal come?
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// An error if a signal has come.
pub(crate) fn check_interrupted() -> Result<()> {
    if interrupted() { Err(Error::Interrupted) } else { Ok(()) }
}

/// Sleeps until a signal comes, at most `limit`.
pub(crate) fn wait_for_signal(limit: Duration) {
    let end = Instant::now() + limit;
    let mut guard = groups();
    while !interrupted() {
        let Some(left) = end.checked_duration_since(Instant::now()) else { return };
        guard = SIGNALLED.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// A command and its arguments, with no stdin.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command
}

/// The cargo that runs this.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(cargo, args);
    // `cargo run` tells its child about xtask's own package; build scripts and tests of others must not see that.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Runs to the end and keeps stdout and stderr.
pub(crate) fn capture(command: &mut Command, when: When) -> Result<Finished> {
    run(command.stdout(Stdio::piped()).stderr(Stdio::piped()), when, |_| {})
}

/// Runs to the end on this terminal.
pub(crate) fn show(command: &mut Command) -> Result<Finished> {
    run(command.stdout(Stdio::inherit()).stderr(Stdio::inherit()), When::Working, |_| {})
}

/// Runs to the end; each line of stdout is handed on as it comes, stderr goes to this terminal.
pub(crate) fn lines(command: &mut Command, line: impl FnMut(&str)) -> Result<Finished> {
    run(command.stdout(Stdio::piped()).stderr(Stdio::inherit()), When::Working, line)
}

/// Runs to the end, captured; a failure to start or a status other than 0 is an error with what it said.
pub(crate) fn succeed(command: &mut Command, when: When) -> Result<Finished> {
    let finished = capture(command, when)?;
    if finished.status.success() {
        return Ok(finished);
    }
    let said = String::from_utf8_lossy(&finished.stderr);
    Err(Error::failed(format!("`{}` ended with {}: {}", shown(command), finished.status, said.trim())))
}

/// As [`lines`], but ended at the limit, which is an error that says so; stderr is kept.
pub(crate) fn lines_within(
    command: &mut Command,
    limit: Duration,
    line: impl FnMut(&str),
) -> Result<Finished> {
    run(command.stdout(Stdio::piped()).stderr(Stdio::piped()), When::Within(limit), line)
}

/// Runs to the end in this process's own group, for a shell that wants the terminal; the shell minds Ctrl-C itself.
pub(crate) fn interactive(command: &mut Command) -> Result<ExitStatus> {
    check_interrupted()?;
    command.status().context(|| format!("failed to run `{}`", shown(command)))
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn run(command: &mut Command, when: When, mut line: impl FnMut(&str)) -> Result<Finished> {
    use std::os::unix::process::CommandExt as _;
    let mut guard = groups();
    if when.is_work() {
        check_interrupted()?;
    }
    let mut child =
        command.process_group(0).spawn().context(|| format!("failed to run `{}`", shown(command)))?;
    let pid = Pid::from_child(&child);
    if when.is_work() {
        guard.push(pid);
    }
    drop(guard);
    let watch = watch(pid, when.limit());

    let stderr = child.stderr.take().map(|mut pipe| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // A pipe that breaks has said all it will.
            let _ = pipe.read_to_end(&mut bytes);
            bytes
        })
    });
    let mut stdout = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        let mut pipe = BufReader::new(pipe);
        let mut start = 0;
        while pipe.read_until(b'\n', &mut stdout).is_ok_and(|read| read > 0) {
            line(String::from_utf8_lossy(&stdout[start..]).trim_end_matches('\n'));
            start = stdout.len();
        }
    }
    let stderr = stderr.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let in_time = watch.join().unwrap_or(true);
    let status = child.wait().context(|| format!("failed to wait for `{}`", shown(command)))?;
    if when.is_work() {
        check_interrupted()?;
    }
    if in_time {
        return Ok(Finished { status, stdout, stderr });
    }
    let seconds = when.limit().as_secs();
    Err(Error::failed(format!("`{}` did not end within {seconds} s and was killed", shown(command))))
}

/// Waits for the end of a process group's leader, without reaping it, so that the number stays ours; kills it at the limit, and in
/// any case what it leaves running, which would hold its pipes open. `false` if the limit came first.
fn watch(leader: Pid, limit: Duration) -> thread::JoinHandle<bool> {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let _ = rustix::process::waitid(WaitId::Pid(leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        // The watcher may have given up.
        let _ = ended.send(());
    });
    thread::spawn(move || {
        let in_time = !matches!(end.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout));
        let mut running = groups();
        self::end(&[leader], Signal::KILL);
        running.retain(|group| *group != leader);
        in_time
    })
}

/// Where a program stands: PATH first, then the places of system daemons that a user's PATH leaves out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system =
        ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_hands_on_its_lines_and_its_status() {
        let mut seen = Vec::new();
        let finished =
            lines(&mut command("sh", &["-c", "echo a; printf b; exit 3"]), |line| seen.push(line.to_owned()))
                .expect("runs");
        assert_eq!(seen, ["a", "b"]);
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn what_a_command_leaves_running_does_not_hold_it_up() {
        let start = Instant::now();
        let finished =
            capture(&mut command("sh", &["-c", "sleep 60 & echo done"]), When::Guarded).expect("runs");
        assert_eq!(finished.text(), "done\n");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_command_past_its_limit_is_killed() {
        use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().expect("runs");
        let in_time = watch(Pid::from_child(&child), Duration::from_millis(1)).join().expect("watcher");
        assert!(!in_time);
        assert_eq!(child.wait().expect("waits").signal(), Some(Signal::KILL.as_raw()));
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = succeed(&mut command("sh", &["-c", "echo no such thing >&2; exit 1"]), When::Guarded)
            .expect_err("status 1");
        let error = error.to_string();
        assert!(error.contains("`sh -c") && error.contains("no such thing"), "{error}");
    }

    #[test]
    fn a_program_is_found_or_not() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-here"), None);
    }
}
