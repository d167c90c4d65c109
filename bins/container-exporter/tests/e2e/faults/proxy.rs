//! A unix socket in front of the engine, which can do to a connection what engines and kernels do on bad days.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::harness::Scope;

/// What the proxy does to the bytes that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// Holds all of them, as an engine under SIGSTOP does: connections are accepted, and nobody answers.
    Frozen,
    /// Loses the events, as the engine does when a reader falls behind.
    EventsLost,
    /// Sends the first half of the next event and breaks the connection; once.
    EventCut,
    /// Loses the requests for inspects.
    InspectsLost,
}

struct State {
    fault: Fault,
    /// How often the fault was played.
    played: u64,
    connections: Vec<UnixStream>,
}

struct Shared {
    upstream: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of this moment, after the proxy is no longer frozen.
    fn thawed(&self) -> Fault {
        let state = self.state();
        let frozen = |state: &mut State| state.fault == Fault::Frozen;
        self.changed.wait_while(state, frozen).unwrap_or_else(PoisonError::into_inner).fault
    }

    fn play(&self) {
        self.state().played += 1;
    }
}

/// The proxy; dropping it ends what passes through it.
pub(super) struct Proxy {
    directory: tempfile::TempDir,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of a scope's engine; `None` if that has no socket.
    pub(super) fn of(scope: &Scope) -> Option<Self> {
        Some(Self::to(Path::new(scope.socket()?)))
    }

    /// In front of a socket.
    pub(super) fn to(upstream: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the socket");
        let state = State { fault: Fault::None, played: 0, connections: Vec::new() };
        let upstream = upstream.to_owned();
        let shared = Shared { upstream, state: Mutex::new(state), changed: Condvar::new() };
        let proxy = Self { directory, shared: Arc::new(shared) };
        proxy.listen();
        proxy
    }

    /// Its socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// What `DOCKER_HOST` is for those who go through it.
    pub(super) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Makes the socket, a new file each time.
    fn listen(&self) {
        let listener = UnixListener::bind(self.socket()).expect("a socket");
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(engine) = UnixStream::connect(&shared.upstream) else { continue };
                join(&shared, &client, &engine);
            }
        });
    }

    /// From now on bytes suffer this.
    pub(super) fn set(&self, fault: Fault) {
        let mut state = self.shared.state();
        state.fault = fault;
        state.played = 0;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// How often the fault that was set last was played.
    pub(super) fn played(&self) -> u64 {
        self.shared.state().played
    }

    /// Breaks all connections, and puts another socket in the place of the old one.
    pub(super) fn replace(&self) {
        std::fs::remove_file(self.socket()).expect("the socket is there");
        self.break_all();
        self.listen();
    }

    fn break_all(&self) {
        for connection in self.shared.state().connections.drain(..) {
            _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Fault::None);
        self.break_all();
    }
}

/// Has bytes pass between two sockets until either ends.
fn join(shared: &Arc<Shared>, client: &UnixStream, engine: &UnixStream) {
    let copy = |stream: &UnixStream| stream.try_clone().expect("a descriptor");
    shared.state().connections.extend([copy(client), copy(engine)]);
    let is_events = Arc::new(AtomicBool::new(false));
    let up = Pump { shared: Arc::clone(shared), from: copy(client), to: copy(engine), is_events };
    let is_events = Arc::clone(&up.is_events);
    let down = Pump { shared: Arc::clone(shared), from: copy(engine), to: copy(client), is_events };
    std::thread::spawn(|| up.run(Pump::ask));
    std::thread::spawn(|| down.run(Pump::answer));
}

/// One direction of a connection.
struct Pump {
    shared: Arc<Shared>,
    from: UnixStream,
    to: UnixStream,
    /// Has the client asked for events here?
    is_events: Arc<AtomicBool>,
}

impl Pump {
    /// Passes on what is read, or as much of it as `pass` says; `None` breaks the connection.
    fn run(mut self, pass: impl Fn(&Self, &[u8]) -> Option<usize>) {
        let mut room = vec![0; 64 << 10];
        while let Ok(count @ 1..) = self.from.read(&mut room) {
            let passed = pass(&self, &room[..count]);
            let part = passed.unwrap_or(count / 2);
            if self.to.write_all(&room[..part]).is_err() || passed.is_none() {
                break;
            }
        }
        _ = self.from.shutdown(Shutdown::Both);
        _ = self.to.shutdown(Shutdown::Both);
    }

    /// From the client: a request comes in one piece.
    fn ask(&self, bytes: &[u8]) -> Option<usize> {
        let line = bytes.split(|byte| *byte == b'\r').next().map(String::from_utf8_lossy).unwrap_or_default();
        if line.contains("/events") {
            self.is_events.store(true, Ordering::Relaxed);
        }
        let is_inspect = line.contains("/containers/") && !line.contains("/containers/json");
        if self.shared.thawed() == Fault::InspectsLost && is_inspect {
            self.shared.play();
            return Some(0);
        }
        Some(bytes.len())
    }

    /// From the engine: each event comes in a piece of its own.
    fn answer(&self, bytes: &[u8]) -> Option<usize> {
        let fault = self.shared.thawed();
        if !self.is_events.load(Ordering::Relaxed) || bytes.starts_with(b"HTTP/") {
            return Some(bytes.len());
        }
        match fault {
            Fault::EventsLost => {
                self.shared.play();
                Some(0)
            }
            Fault::EventCut => {
                let mut state = self.shared.state();
                state.fault = Fault::None;
                state.played += 1;
                None
            }
            _ => Some(bytes.len()),
        }
    }
}
