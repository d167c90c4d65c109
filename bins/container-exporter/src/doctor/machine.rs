//! Where the checks look, and with whose rights.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use cgroup_reader::Roots;
use collector_core::Absence;
use rustix::process::{Resource, getegid, geteuid, getgroups, getrlimit};
use source_docker::Endpoint;

use crate::config::Settings;

/// The longest that somebody may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest that an engine elsewhere may take for one answer: old ones need two seconds for numbers.
const PATIENCE_ELSEWHERE: Duration = Duration::from_secs(5);
/// The most bytes of an answer that are read.
const ANSWER_MAX: u64 = 64 * 1024;

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Who may use a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

/// Asks a socket with a GET of a path.
pub(super) type Ask<'a> = &'a dyn Fn(&Path, &str) -> io::Result<Answer>;

/// What an engine elsewhere said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// Version and API, for people.
    pub(super) version: String,
    /// Containers that run there.
    pub(super) running: usize,
    /// Why its stats API gives no numbers of one that runs.
    pub(super) no_numbers: Option<String>,
}

/// What the checks see of the machine.
pub(super) struct Machine<'a> {
    /// Stands before every path but those of [`roots`](Self::roots).
    pub(super) root: PathBuf,
    pub(super) roots: Roots,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) uid: u32,
    /// All groups of this process.
    pub(super) groups: Vec<u32>,
    /// Files that this process may raise its limit to; `None` without limit.
    pub(super) nofile_max: Option<u64>,
    /// Whether it is an ARM machine, as a Raspberry Pi is.
    pub(super) is_arm: bool,
    pub(super) now: SystemTime,
    pub(super) rights: &'a dyn Fn(&fs::Metadata) -> Rights,
    pub(super) ask: Ask<'a>,
    /// Asks an engine elsewhere; an error says why it cannot be.
    pub(super) ask_elsewhere: &'a dyn Fn(&Endpoint) -> Result<Elsewhere, String>,
    /// Tries whether an address can be listened at.
    pub(super) bind: &'a dyn Fn(SocketAddr) -> io::Result<()>,
    /// Asks a server with a GET of a path.
    pub(super) ask_server: &'a dyn Fn(SocketAddr, &str) -> io::Result<Answer>,
    /// Tries whether an inotify instance can be had.
    pub(super) inotify: &'a dyn Fn() -> io::Result<()>,
    pub(super) read_link: &'a dyn Fn(&Path) -> io::Result<PathBuf>,
    /// Counts the GPUs, or says why it cannot; `None` where this build leaves them out.
    pub(super) gpus: &'a dyn Fn() -> Option<Result<usize, Absence>>,
}

impl Machine<'static> {
    /// This machine, with the roots that are configured.
    pub(super) fn this(settings: &Settings) -> Self {
        let mut groups = getgroups().unwrap_or_default();
        groups.push(getegid());
        Self {
            root: "/".into(),
            roots: Roots { cgroup: settings.cgroup.root.clone(), proc: settings.cgroup.proc_root.clone() },
            env: &|name| std::env::var(name).ok(),
            uid: geteuid().as_raw(),
            groups: groups.into_iter().map(|group| group.as_raw()).collect(),
            nofile_max: getrlimit(Resource::Nofile).maximum,
            is_arm: cfg!(any(target_arch = "arm", target_arch = "aarch64")),
            now: SystemTime::now(),
            rights: &|file| Rights { uid: file.uid(), gid: file.gid(), mode: file.mode() },
            ask: &ask,
            ask_elsewhere: &ask_elsewhere,
            bind: &|address| TcpListener::bind(address).map(drop),
            ask_server: &|address, target| {
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                get(stream, target)
            },
            inotify: &|| {
                rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC)?;
                Ok(())
            },
            read_link: &|path| fs::read_link(path),
            gpus: &gpus,
        }
    }
}

/// Asks the driver's library, which may take seconds to begin.
#[cfg(feature = "gpu")]
fn gpus() -> Option<Result<usize, Absence>> {
    use collector_core::Accelerators;
    let options = gpu_reader::Options { patience: PATIENCE_ELSEWHERE, ..gpu_reader::Options::default() };
    Some(gpu_reader::NvidiaGpus::new(options).look().map(|gpus| gpus.len()))
}

/// This build leaves them out.
#[cfg(not(feature = "gpu"))]
const fn gpus() -> Option<Result<usize, Absence>> {
    None
}

impl Machine<'_> {
    /// The text of a file of proc, empty if there is none.
    pub(super) fn proc(&self, file: &str) -> String {
        fs::read_to_string(self.roots.proc.join(file)).unwrap_or_default()
    }

    /// A path below the root.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether this process runs in a container, by the marks that Docker and Podman leave.
    pub(super) fn in_container(&self) -> bool {
        self.path("/.dockerenv").exists() || self.path("/run/.containerenv").exists()
    }

    /// The name of a group or user, by `/etc/group` or `/etc/passwd`.
    pub(super) fn name_of(&self, file: &str, number: u32) -> Option<String> {
        let text = fs::read_to_string(self.path(file)).ok()?;
        text.lines().find_map(|line| {
            let words: Vec<_> = line.split(':').collect();
            (words.get(2)?.parse() == Ok(number)).then(|| words[0].to_owned())
        })
    }

    /// How to add a parameter to the kernel's command line.
    pub(super) fn kernel_parameter(&self, parameter: &str) -> String {
        let file = ["/boot/firmware/cmdline.txt", "/boot/cmdline.txt"]
            .into_iter()
            .find(|file| self.path(file).exists())
            .or_else(|| self.is_arm.then_some("/boot/firmware/cmdline.txt"));
        match file {
            Some(file) => format!("sudo sed -i '1s/$/ {parameter}/' {file} && sudo reboot"),
            None => format!(
                "add `{parameter}` to GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot"
            ),
        }
    }
}

/// Asks in a thread of its own, since connecting to a socket whose owner hangs may block for ever.
pub(super) fn ask(socket: &Path, target: &str) -> io::Result<Answer> {
    let (sender, answer) = mpsc::channel();
    let (socket, target) = (socket.to_owned(), target.to_owned());
    thread::Builder::new().name("doctor".to_owned()).spawn(move || {
        let answer = UnixStream::connect(socket).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            get(stream, &target)
        });
        // Nobody may be waiting any more.
        _ = sender.send(answer);
    })?;
    answer.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn ask_elsewhere(engine: &Endpoint) -> Result<Elsewhere, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("failed to ask {engine}: {error}"))?;
    let said = runtime.block_on(engine.ask(PATIENCE_ELSEWHERE)).map_err(|error| error.to_string())?;
    let version = if said.version.is_empty() { "of unknown version" } else { &said.version };
    Ok(Elsewhere {
        version: format!("{} {version}, API {}", said.engine.as_str(), said.api_version),
        running: said.running,
        no_numbers: said.no_numbers,
    })
}

/// HTTP/1.0, so that the answer is whole, not in chunks, and ends with the connection.
fn get(mut stream: impl Read + Write, target: &str) -> io::Result<Answer> {
    stream.write_all(format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    match stream.take(ANSWER_MAX).read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::ErrorKind::TimedOut.into());
        }
        read => read?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))?;
    Ok(Answer { status, body: body.to_owned() })
}
