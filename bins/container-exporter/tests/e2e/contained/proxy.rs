//! A socket proxy as people put before an engine: it lets through the few GETs that the exporter needs, and keeps a list of
//! what it refused.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A running proxy. Its threads end with the test.
pub(super) struct Proxy {
    directory: tempfile::TempDir,
    asked: Arc<Mutex<Asked>>,
}

/// What the proxy was asked for: each kind of request once, such as `GET /containers/*/json`.
#[derive(Default)]
struct Asked {
    allowed: Vec<String>,
    refused: Vec<String>,
}

impl Proxy {
    /// Stands before the engine that listens at this socket.
    pub(super) fn before(engine: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the socket");
        let socket = directory.path().join("proxy.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let open_to = |path: &Path, mode| {
            let rights = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(path, rights).expect("it is ours");
        };
        // Users without any group of the host's come to it.
        open_to(directory.path(), 0o755);
        open_to(&socket, 0o666);
        let asked = Arc::<Mutex<Asked>>::default();
        let (copy, engine) = (Arc::clone(&asked), engine.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (asked, engine) = (Arc::clone(&copy), engine.clone());
                // A client or an engine that hangs up ends its connection, and nothing else.
                thread::spawn(move || serve(client, &engine, &asked));
            }
        });
        Self { directory, asked }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("proxy.sock")
    }

    /// The kinds of requests that went through.
    pub(super) fn allowed(&self) -> Vec<String> {
        lock(&self.asked).allowed.clone()
    }

    /// The requests that did not.
    pub(super) fn refused(&self) -> Vec<String> {
        lock(&self.asked).refused.clone()
    }
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kind of a request if it is one of the seven.
fn kind(method: &str, target: &str) -> Option<&'static str> {
    let path = target.split('?').next().unwrap_or(target);
    // `/v1.41/info` is `/info` of that version.
    let path = match path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
        Some((version, _)) if version.bytes().all(|byte| byte.is_ascii_digit()) => {
            &path["/v1.".len() + version.len()..]
        }
        _ => path,
    };
    if method != "GET" {
        return None;
    }
    match path {
        "/_ping" => Some("/_ping"),
        "/version" => Some("/version"),
        "/info" => Some("/info"),
        "/events" => Some("/events"),
        "/containers/json" => Some("/containers/json"),
        "/system/df" => Some("/system/df"),
        _ => {
            let id = path.strip_prefix("/containers/")?.strip_suffix("/json")?;
            (!id.is_empty() && !id.contains('/')).then_some("/containers/*/json")
        }
    }
}

/// Reads requests, none of which has a body if it is allowed, and lets answers flow back as they come.
fn serve(client: UnixStream, engine: &Path, asked: &Mutex<Asked>) -> io::Result<()> {
    let mut engine = UnixStream::connect(engine)?;
    let (mut answers, mut to_client) = (engine.try_clone()?, client.try_clone()?);
    thread::spawn(move || {
        // Whichever side ends first, the client sees the end.
        _ = io::copy(&mut answers, &mut to_client);
        _ = to_client.shutdown(std::net::Shutdown::Both);
    });
    let mut requests = BufReader::new(client.try_clone()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if requests.read_line(&mut head)? == 0 {
                return engine.shutdown(std::net::Shutdown::Both);
            }
        }
        let line = head.lines().next().unwrap_or_default();
        let mut words = line.split(' ');
        let kind = words.next().zip(words.next()).and_then(|(method, target)| kind(method, target));
        let Some(kind) = kind else {
            lock(asked).refused.push(line.to_owned());
            (&client)
                .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            return engine.shutdown(std::net::Shutdown::Both);
        };
        let mut kinds = lock(asked);
        if !kinds.allowed.iter().any(|known| known == kind) {
            kinds.allowed.push(kind.to_owned());
        }
        drop(kinds);
        engine.write_all(head.as_bytes())?;
    }
}

#[test]
fn seven_gets_and_nothing_else() {
    for target in ["/_ping", "/v1.41/_ping", "/version", "/info", "/events?since=1", "/containers/json?all=1"]
    {
        assert!(kind("GET", target).is_some(), "{target}");
        assert_eq!(kind("POST", target), None, "{target}");
        assert_eq!(kind("HEAD", target), None, "{target}");
    }
    assert_eq!(kind("GET", "/v1.41/containers/ab/json"), Some("/containers/*/json"));
    for target in
        ["/containers/ab/stats", "/containers/a/b/json", "/images/json", "/v1.x/info", "/v2.0/info", "/"]
    {
        assert_eq!(kind("GET", target), None, "{target}");
    }
}
