//! A server on a free port and clients that speak raw bytes to it.

#![allow(dead_code, reason = "each test binary uses its part of this module")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use exporter_toolkit::{Builder, Stats, StatsSnapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Nothing in these tests takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server in the test's runtime.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) stats: Arc<Stats>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<StatsSnapshot>,
}

impl Running {
    pub(crate) fn start(builder: Builder) -> Self {
        let server = builder.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let (stop, stopped) = oneshot::channel();
        let (addr, stats) = (server.local_addr(), server.stats());
        let serving = server.serve(async { stopped.await.unwrap_or(()) });
        let task = tokio::spawn(async { serving.await.expect("a runtime with I/O") });
        Self { addr, stats, stop, task }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("connecting")
    }

    /// Shuts down and returns what was counted; no more than the patience is waited.
    pub(crate) async fn stop(self) -> StatsSnapshot {
        self.stop.send(()).expect("the server runs");
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("the server ends in time").expect("the server does not panic")
    }

    /// Sends bytes on a connection of their own and reads until the server closes.
    pub(crate) async fn talk(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut stream = self.connect().await;
        // A server that refuses may close before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        Reply::read(&mut stream).await
    }

    /// One request with these headers, `connection: close` among them.
    pub(crate) async fn request(&self, method: &str, target: &str, headers: &str) -> Reply {
        self.talk(format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}\r\n"))
            .await
    }

    /// Waits until the counters say so.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&StatsSnapshot) -> bool) {
        let reached = async {
            while !reached(&self.stats.snapshot()) {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "{what}: {:?}", self.stats.snapshot());
    }
}

/// What came back until the end of the stream; possibly several responses, possibly none.
#[derive(Debug)]
pub(crate) struct Reply(pub(crate) Vec<u8>);

impl Reply {
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        // An error is a reset, which ends the stream too.
        let _ = read.expect("the server closes the connection in time");
        Self(bytes)
    }

    pub(crate) fn status(&self) -> Option<u16> {
        let text = String::from_utf8_lossy(&self.0);
        text.strip_prefix("HTTP/1.1 ").or(text.strip_prefix("HTTP/1.0 "))?.get(..3)?.parse().ok()
    }

    fn split(&self) -> (String, &[u8]) {
        let end = self.0.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        (String::from_utf8_lossy(&self.0[..end]).into_owned(), &self.0[end + 4..])
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = self.split().0;
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }

    /// The head without the date, for comparisons.
    pub(crate) fn head(&self) -> Vec<String> {
        let lines = self.split().0;
        lines.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect()
    }

    /// The body, with chunked coding undone; `None` when it broke off before its end.
    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        let (_, raw) = self.split();
        if self.header("transfer-encoding").as_deref() != Some("chunked") {
            let length =
                self.header("content-length").map(|length| length.parse::<usize>().expect("a number"));
            return length.is_none_or(|length| length == raw.len()).then(|| raw.to_vec());
        }
        let (mut out, mut rest) = (Vec::new(), raw);
        loop {
            let end = rest.windows(2).position(|two| two == b"\r\n")?;
            let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
            rest = rest.get(end + 2..)?;
            if length == 0 {
                return Some(out);
            }
            out.extend_from_slice(rest.get(..length)?);
            rest = rest.get(length + 2..)?;
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body().expect("a whole body")).expect("text")
    }
}
