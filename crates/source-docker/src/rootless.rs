//! Rootless engines of every user: their sockets below `/run/user`, as they come and go.
//!
//! A user's runtime directory comes with the first login (or with `loginctl enable-linger`), the engine's socket
//! later. Both are watched for by inotify; a look now and then finds what no event told of: a watch that was set
//! before the user's tmpfs was mounted over the directory sees nothing, and inotify may be used up.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use collector_core::Engine;

use crate::{Candidate, Endpoint, PodmanStore};

/// Where users' runtime directories are.
const USERS: &str = "run/user";
/// Users that are looked at, at most: the first by uid.
const USERS_MAX: usize = 128;

/// Finds the engines of users. Each is told of when its socket comes, and again when it comes back; a Podman
/// without a socket is told of when its store can be read.
#[derive(Debug)]
pub struct UserEngines {
    root: PathBuf,
    /// Sockets that are followed already, without links in their paths.
    except: Vec<PathBuf>,
    interval: Duration,
    present: BTreeMap<(u32, &'static str), Found>,
    ready: VecDeque<Candidate>,
    watch: watch::Watch,
}

/// What there is of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Store,
    Socket,
}

impl UserEngines {
    /// Looks below `<root>/run/user`, at least once per `interval`. Sockets of `except` are left out: they are
    /// followed already.
    #[must_use]
    pub fn new(root: &Path, except: &[Endpoint], interval: Duration) -> Self {
        let except = except.iter().filter_map(socket_of).map(|path| real(&path)).collect();
        Self {
            root: root.to_owned(),
            except,
            interval,
            present: BTreeMap::new(),
            ready: VecDeque::new(),
            watch: watch::Watch::new(),
        }
    }

    /// Waits for an engine that is new or came back. Its name is `podman-UID` or `docker-UID`. May be dropped while
    /// it waits. Must be called on a tokio runtime.
    pub async fn next(&mut self) -> Candidate {
        loop {
            if let Some(candidate) = self.ready.pop_front() {
                return candidate;
            }
            self.look();
            if self.ready.is_empty() {
                // Whatever the wait ends by, the next look tells.
                let _ = tokio::time::timeout(self.interval, self.watch.changed()).await;
            }
        }
    }

    fn look(&mut self) {
        self.watch.add(&self.root.join(USERS));
        let mut present = BTreeMap::new();
        for (uid, directory) in users(&self.root) {
            // Before the look, so that what comes after it is not missed.
            self.watch.add(&directory);
            self.watch.add(&directory.join("podman"));
            for (engine, path) in sockets(&directory) {
                if self.except.contains(&real(&path)) {
                    continue;
                }
                let Some(found) = find(&self.root, uid, engine, &path) else { continue };
                let key = (uid, engine.as_str());
                if self.present.get(&key) != Some(&found) {
                    self.ready.push_back(candidate(engine, uid, path, found == Found::Socket));
                }
                present.insert(key, found);
            }
        }
        self.present = present;
    }
}

/// What there is now of users' engines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsersNow {
    /// Engines with a socket (`exists`), and Podmans without one whose store can be read.
    pub engines: Vec<Candidate>,
    /// Runtime directories that this process may not enter: what engines are there it does not see.
    pub closed: Vec<PathBuf>,
}

impl UsersNow {
    /// Looks below `<root>/run/user`.
    #[must_use]
    pub fn look(root: &Path) -> Self {
        let mut now = Self::default();
        for (uid, directory) in users(root) {
            if fs::read_dir(&directory).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
                now.closed.push(directory);
                continue;
            }
            for (engine, path) in sockets(&directory) {
                let found = find(root, uid, engine, &path);
                now.engines.extend(found.map(|found| candidate(engine, uid, path, found == Found::Socket)));
            }
        }
        now
    }
}

/// The runtime directories of users, but for root's, whose engines are the system's.
fn users(root: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
    let users = root.join(USERS);
    let mut uids: BTreeSet<u32> = BTreeSet::new();
    for entry in fs::read_dir(&users).into_iter().flatten().flatten() {
        uids.extend(entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    uids.remove(&0);
    uids.into_iter().take(USERS_MAX).map(move |uid| (uid, users.join(uid.to_string())))
}

/// Where engines listen in a user's runtime directory.
fn sockets(directory: &Path) -> [(Engine, PathBuf); 2] {
    [(Engine::Docker, directory.join("docker.sock")), (Engine::Podman, directory.join("podman/podman.sock"))]
}

fn find(root: &Path, uid: u32, engine: Engine, socket: &Path) -> Option<Found> {
    if socket.exists() {
        return Some(Found::Socket);
    }
    let store = (engine == Engine::Podman).then(|| PodmanStore::of_user(root, uid)).flatten();
    store.is_some_and(|store| store.is_readable()).then_some(Found::Store)
}

fn candidate(engine: Engine, uid: u32, path: PathBuf, exists: bool) -> Candidate {
    let name = format!("{}-{uid}", engine.as_str());
    let endpoint = Ok(Endpoint::Unix(path));
    Candidate { name, engine, endpoint, origin: "/run/user", exists, uid: Some(uid) }
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The socket's path, of an engine that has one.
fn socket_of(endpoint: &Endpoint) -> Option<PathBuf> {
    match endpoint {
        Endpoint::Unix(path) => Some(path.clone()),
        Endpoint::Tcp { .. } => None,
    }
}

#[cfg(target_os = "linux")]
mod watch {
    use std::{mem::MaybeUninit, os::fd::OwnedFd, path::Path};

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
    use tokio::io::unix::AsyncFd;

    /// Tells that something came or went in one of the directories. Without inotify it never does.
    #[derive(Debug)]
    pub(super) struct Watch(State);

    #[derive(Debug)]
    enum State {
        Unused,
        Open(AsyncFd<OwnedFd>),
        Refused,
    }

    #[expect(
        deprecated,
        reason = "unsound for types whose descriptor may change, which an OwnedFd's does not"
    )]
    fn registered(fd: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
        AsyncFd::new(fd).ok()
    }

    impl Watch {
        pub(super) fn new() -> Self {
            Self(State::Unused)
        }

        /// Watches a directory, once more if it is another one by now. One that is not there is passed over.
        pub(super) fn add(&mut self, directory: &Path) {
            if matches!(self.0, State::Unused) {
                let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
                self.0 = fd.and_then(registered).map_or(State::Refused, State::Open);
            }
            if let State::Open(fd) = &self.0 {
                let flags = WatchFlags::CREATE
                    | WatchFlags::DELETE
                    | WatchFlags::MOVED_TO
                    | WatchFlags::MOVED_FROM
                    | WatchFlags::ATTRIB
                    | WatchFlags::ONLYDIR;
                // Refused where it is not there, not ours to read, or watches are used up: the looks go on.
                let _ = inotify::add_watch(fd.get_ref(), directory, flags);
            }
        }

        /// Waits for a change, and takes all that are there.
        pub(super) async fn changed(&self) {
            let State::Open(fd) = &self.0 else { return std::future::pending().await };
            loop {
                let Ok(mut guard) = fd.readable().await else { return std::future::pending().await };
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = inotify::Reader::new(fd.get_ref(), &mut buffer);
                let mut any = false;
                while let Ok(event) = reader.next() {
                    any |= !event.events().contains(ReadFlags::IGNORED);
                }
                guard.clear_ready();
                if any {
                    return;
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod watch {
    use std::path::Path;

    /// Here only the looks tell.
    #[derive(Debug)]
    pub(super) struct Watch;

    impl Watch {
        pub(super) fn new() -> Self {
            Self
        }

        pub(super) fn add(&mut self, _directory: &Path) {}

        pub(super) async fn changed(&self) {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_secs(3_600);

    async fn next(engines: &mut UserEngines) -> (String, Option<u32>, bool) {
        let found =
            tokio::time::timeout(Duration::from_secs(10), engines.next()).await.expect("nothing came");
        (found.name, found.uid, found.exists)
    }

    /// Waits until inotify tells of something.
    async fn told(engines: &UserEngines) {
        let changed = engines.watch.changed();
        tokio::time::timeout(Duration::from_secs(10), changed).await.expect("nothing was told");
    }

    fn row(name: &str, uid: u32, exists: bool) -> (String, Option<u32>, bool) {
        (name.to_owned(), Some(uid), exists)
    }

    #[tokio::test]
    async fn sockets_are_found_when_they_come_and_when_they_come_back() {
        let root = tempfile::tempdir().unwrap();
        let users = root.path().join("run/user");
        fs::create_dir_all(users.join("1000")).unwrap();
        fs::create_dir_all(users.join("0/podman")).unwrap();
        fs::write(users.join("0/podman/podman.sock"), "").unwrap();
        fs::create_dir_all(users.join("nobody")).unwrap();
        fs::write(users.join("1000/docker.sock"), "").unwrap();
        let mut engines = UserEngines::new(root.path(), &[], FAR);
        assert_eq!(next(&mut engines).await, row("docker-1000", 1000, true));

        // Looks are an hour apart: what follows is inotify's, each step on its own.
        let socket = users.join("1001/podman/podman.sock");
        for directory in [users.join("1001"), users.join("1001/podman")] {
            fs::create_dir(directory).unwrap();
            told(&engines).await;
            engines.look();
            assert!(engines.ready.is_empty());
        }
        let write = async { fs::write(socket, "").unwrap() };
        let (found, ()) = tokio::join!(next(&mut engines), write);
        assert_eq!(found, row("podman-1001", 1001, true));

        fs::remove_file(users.join("1000/docker.sock")).unwrap();
        told(&engines).await;
        engines.look();
        assert!(engines.ready.is_empty(), "what is gone is nothing to follow");
        let write = async { fs::write(users.join("1000/docker.sock"), "").unwrap() };
        let (found, ()) = tokio::join!(next(&mut engines), write);
        assert_eq!(found, row("docker-1000", 1000, true));
    }

    #[tokio::test]
    async fn looks_find_what_no_event_told_and_followed_sockets_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let mut engines = UserEngines::new(root.path(), &[], Duration::from_millis(20));
        // Nothing can be watched yet.
        engines.look();
        assert!(engines.ready.is_empty());
        let directory = root.path().join("run/user/7/podman");
        fs::create_dir_all(&directory).unwrap();
        let socket = directory.join("podman.sock");
        fs::write(&socket, "").unwrap();
        assert_eq!(next(&mut engines).await, row("podman-7", 7, true));

        let followed = [Endpoint::Unix(socket)];
        let mut engines = UserEngines::new(root.path(), &followed, FAR);
        engines.look();
        assert!(engines.ready.is_empty());
    }
}
