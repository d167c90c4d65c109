//! A proxy before an engine that counts what is asked of it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::error::{Context as _, Result};

/// Requests by method and path without query.
type Asked = Arc<Mutex<BTreeMap<String, usize>>>;

/// A socket that hands everything on to another.
#[derive(Debug)]
pub(crate) struct Counting {
    socket: PathBuf,
    asked: Asked,
}

impl Counting {
    /// Listens beside the temporary files of this process; its threads end with their connections.
    pub(crate) fn start(engine: &Path) -> Result<Self> {
        let socket = std::env::temp_dir().join(format!("bench-{}.sock", std::process::id()));
        // One that a killed run with this number left.
        let _ = std::fs::remove_file(&socket);
        let listener =
            UnixListener::bind(&socket).context(|| format!("failed to listen at {}", socket.display()))?;
        let asked = Asked::default();
        let (engine, counts) = (engine.to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&engine) else { continue };
                let counts = Arc::clone(&counts);
                let both = client.try_clone().and_then(|client| Ok((client, server.try_clone()?)));
                let Ok((back_to, answers)) = both else { continue };
                thread::spawn(move || pump(client, server, |bytes| count(bytes, &counts)));
                thread::spawn(move || pump(answers, back_to, |_| {}));
            }
        });
        Ok(Self { socket, asked })
    }

    pub(crate) fn docker_host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// What was asked since the last call.
    pub(crate) fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        // It may be gone.
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn pump(mut from: UnixStream, mut to: UnixStream, mut seen: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        seen(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other direction's thread then ends too.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// Clients of an engine write a request's head in one piece.
fn count(bytes: &[u8], asked: &Asked) {
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b" HTTP/1.1\r")) {
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ');
        if let (Some(method), Some(target)) = (words.next(), words.next()) {
            let path = target.split('?').next().unwrap_or(target);
            *asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(format!("{method} {path}"))
                .or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_path() {
        let asked = Asked::default();
        count(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /containers/json?all=1 HTTP/1.1\r\n\r\n", &asked);
        count(b"GET /_ping HTTP/1.1\r\n\r\n", &asked);
        let asked = asked.lock().expect("unpoisoned");
        assert_eq!(asked.get("GET /_ping"), Some(&2));
        assert_eq!(asked.get("GET /containers/json"), Some(&1));
    }
}
