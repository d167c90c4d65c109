//! Real programs that take OTLP, as `cargo xtask lab peers` builds them.

mod otelcol;
mod prometheus;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::PATIENCE;

pub use otelcol::Otelcol;
pub use prometheus::{Labels, Prometheus};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Prometheus 2.53, which keeps of a Resource only its job and instance.
    Prometheus2,
    /// Prometheus 3.5, which makes labels of the attributes of a Resource that it is told.
    Prometheus3,
    /// An OpenTelemetry Collector.
    Otelcol,
}

impl Peer {
    /// Names the program.
    fn variable(self) -> &'static str {
        match self {
            Self::Prometheus2 => "CONTAINER_EXPORTER_PEER_PROMETHEUS2",
            Self::Prometheus3 => "CONTAINER_EXPORTER_PEER_PROMETHEUS3",
            Self::Otelcol => "CONTAINER_EXPORTER_PEER_OTELCOL",
        }
    }

    /// The program; `None`, said in so many words, where nobody has named one.
    ///
    /// # Panics
    /// Where `CI` is set: there is everything.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
    pub fn program(self) -> Option<PathBuf> {
        let variable = self.variable();
        let program = std::env::var_os(variable).map(PathBuf::from);
        if program.is_none() {
            let reason = format!(
                "{variable} names no program; `cargo xtask lab peers` builds it, `cargo xtask test --only peers` sets it, too"
            );
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            eprintln!("left out: {reason}");
        }
        program
    }
}

/// An address that nobody else takes, not even while its owner is away for a moment.
///
/// Its host is one of loopback's other addresses, from which no connection starts by itself and on which nobody else listens.
fn address() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let [low, high, ..] = std::process::id().to_le_bytes();
    let host = if cfg!(target_os = "linux") {
        Ipv4Addr::new(127, COUNT.fetch_add(1, Ordering::Relaxed) | 128, high, low | 1)
    } else {
        Ipv4Addr::LOCALHOST
    };
    // A port has to be known before its owner starts: taken and left again.
    TcpListener::bind((host, 0)).and_then(|socket| socket.local_addr()).expect("a port is free")
}

/// A program that runs; dropping it kills it.
#[derive(Debug)]
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it; what it says goes to a file in the folder.
    #[track_caller]
    fn start(program: &Path, arguments: &[String], folder: &TempDir) -> Self {
        let log = folder.path().join("log");
        let file = File::options().create(true).append(true).open(&log).expect("a file");
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("failed to run {}: {error}", program.display()));
        Self { child, log }
    }

    /// Waits until it takes connections there.
    async fn listens(&mut self, address: SocketAddr) {
        let begin = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            self.still_runs(begin);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is waited for may still come.
    #[track_caller]
    fn still_runs(&mut self, since: Instant) {
        let ended = self.child.try_wait().expect("its state");
        if ended.is_some() || since.elapsed() > PATIENCE {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            panic!("it does not get ready ({ended:?}):\n{log}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
