//! The built program while it runs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use test_support::PATIENCE;

/// A running exporter; dropping it kills it.
pub(crate) struct Exporter {
    pub(crate) child: Child,
    /// Its configuration file.
    pub(crate) config: PathBuf,
    _folder: tempfile::TempDir,
    address: String,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Exporter {
    /// Of this source, with no environment but what is given, and waits until it serves.
    #[track_caller]
    pub(crate) fn start(source: &str, environment: &[(&str, &str)], config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, config).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_container-exporter"))
            .env_clear()
            .envs(environment.iter().copied())
            .args(["--source", source, "--listen", "127.0.0.1:0", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let log = Arc::<(Mutex<Vec<String>>, Condvar)>::default();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.0.lock().expect("the log").push(line);
                kept.1.notify_all();
            }
        });
        let mut exporter = Self { child, config: path, _folder: folder, address: String::new(), log };
        let line = exporter.line("serving http://");
        let rest = line.split_once("serving http://").expect("just seen").1;
        exporter.address = rest.split("/metrics").next().expect("an address").to_owned();
        exporter
    }

    /// Waits for a line of the log.
    #[track_caller]
    pub(crate) fn line(&self, words: &str) -> String {
        let (log, came) = &*self.log;
        let mut found = None;
        let guard = came
            .wait_timeout_while(log.lock().expect("the log"), PATIENCE, |log| {
                found = log.iter().find(|line| line.contains(words)).cloned();
                found.is_none()
            })
            .expect("the log");
        found.unwrap_or_else(|| panic!("no {words:?} in {:#?}", *guard.0))
    }

    /// All its lines so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.0.lock().expect("the log").clone()
    }

    /// A page, asked for with these lines of the head, each with its end.
    pub(crate) fn page(&self, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET /metrics HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n")
            .expect("sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        page
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
