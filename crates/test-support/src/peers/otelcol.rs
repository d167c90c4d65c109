//! An OpenTelemetry Collector, while it runs and while it does not.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tempfile::TempDir;

use super::Running;

/// A Collector that tells what it takes, by its debug exporter, and hands on metrics; dropping it kills it.
#[derive(Debug)]
pub struct Otelcol {
    /// Where it takes OTLP by gRPC.
    pub grpc: SocketAddr,
    /// Where it takes OTLP by HTTP.
    pub http: SocketAddr,
    program: PathBuf,
    running: Option<Running>,
    folder: TempDir,
}

impl Otelcol {
    /// Starts it, and waits until it takes connections. Metrics are handed on to `next`, by HTTP, if there is one; the answer to
    /// who sent them waits for that.
    ///
    /// # Panics
    /// When it ends or does not listen: with its log.
    pub async fn start(program: PathBuf, next: Option<SocketAddr>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (grpc, http) = (super::address(), super::address());
        let (next, metrics) = match next {
            Some(next) => {
                let settings = "compression: none, sending_queue: {enabled: false}";
                (format!("  otlphttp: {{endpoint: 'http://{next}', {settings}}}\n"), "debug, otlphttp")
            }
            None => (String::new(), "debug"),
        };
        // Straight to stdout, so that what it says it has taken is in the file before whoever sent it has the answer.
        let config = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}, http: {{endpoint: '{http}'}}}}}}}}\n\
             exporters:\n  debug: {{verbosity: detailed, use_internal_logger: false}}\n{next}\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
             metrics: {{receivers: [otlp], exporters: [{metrics}]}}\n    \
             traces: {{receivers: [otlp], exporters: [debug]}}\n"
        );
        std::fs::write(folder.path().join("otelcol.yaml"), config).expect("a file");
        let mut collector = Self { grpc, http, program, running: None, folder };
        collector.start_again().await;
        collector
    }

    /// Starts it where it was, after it was killed.
    ///
    /// # Panics
    /// When it ends or does not listen: with its log.
    pub async fn start_again(&mut self) {
        let config = self.folder.path().join("otelcol.yaml");
        let argument = format!("--config=file:{}", config.display());
        let mut running = Running::start(&self.program, &[argument], &self.folder);
        running.listens(self.grpc).await;
        running.listens(self.http).await;
        self.running = Some(running);
    }

    /// Ends it at once, by its process id, as the kernel does when memory runs out: what it has not read, it never reads.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Stops all its threads, and waits until they have stopped: connections stay, nothing is read.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        let pid = Pid::from_child(&self.running.as_ref().expect("it runs").child);
        kill_process(pid, Signal::STOP).expect("it runs");
        let state = waitpid(Some(pid), WaitOptions::UNTRACED).expect("a child").expect("waited for");
        assert!(state.1.stopped(), "{state:?}");
    }

    /// What its debug exporter has said until now, over all its lives.
    ///
    /// # Panics
    /// When its file cannot be read.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("its log")
    }
}
