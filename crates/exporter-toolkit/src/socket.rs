//! The socket under hyper: counts bytes and puts a time limit on every wait for the peer.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::Refusal;
use crate::clock::{Clock, Phase};
use crate::stats::Stats;

/// Sent by hand, because hyper has no answer for a request that does not end.
const REQUEST_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long a refused peer is listened to after our answer. Closing with bytes unread makes the kernel send a
/// reset, which may overtake the answer that says why.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// Bytes thrown away while lingering.
const LINGER_BYTES: usize = 1 << 20;

/// A TCP stream with the deadlines of its [`Clock`].
pub(crate) struct Socket {
    stream: TcpStream,
    clock: Arc<Clock>,
    stats: Arc<Stats>,
    read_timer: Timer,
    write_timer: Timer,
    /// Since when the peer has taken nothing; `None` while it takes.
    stalled_until: Option<Instant>,
    lingered: usize,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, clock: Arc<Clock>, stats: Arc<Stats>) -> Self {
        Self {
            stream,
            clock,
            stats,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            stalled_until: None,
            lingered: 0,
        }
    }

    /// The peer sends nothing: how that ends, if its time is over.
    fn poll_read_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.clock.phase();
        let (Phase::Opened { deadline } | Phase::Idle { deadline } | Phase::Reading { deadline }) = phase
        else {
            return Poll::Pending;
        };
        if self.read_timer.poll(deadline, context).is_pending() {
            return Poll::Pending;
        }
        if !matches!(phase, Phase::Reading { .. }) {
            // Nothing was begun: as if the peer had closed.
            return Poll::Ready(Ok(()));
        }
        self.stats.refused(Refusal::HeadersTooSlow);
        // In the middle of an earlier response the line would corrupt it.
        if self.stalled_until.is_none()
            && let Ok(written) = self.stream.try_write(REQUEST_TIMEOUT)
        {
            self.stats.responded(None, 408);
            self.stats.wrote(written);
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request took too long")))
    }

    /// A reset frees what the kernel has buffered; a polite close would keep it for minutes.
    fn reset_when_closed(&self) {
        if let Err(error) = self.stream.set_zero_linger() {
            tracing::debug!(%error, "failed to ask for a reset of a slow reader's connection");
        }
    }

    /// Books a write's outcome; a pending one is bounded by both of the writer's deadlines.
    fn after_write(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(written)) => {
                self.stats.wrote(written);
                if self.stalled_until.take().is_some() {
                    self.clock.stalled(None);
                }
                return outcome;
            }
            Poll::Ready(Err(_)) => return outcome,
            Poll::Pending => {}
        }
        let stall_time = self.clock.limits().write_stall_time;
        let stalled_until = *self.stalled_until.get_or_insert_with(|| {
            let now = Instant::now();
            self.clock.stalled(Some(now));
            now + stall_time
        });
        let deadline = self.clock.response_deadline().map_or(stalled_until, |whole| whole.min(stalled_until));
        if self.write_timer.poll(deadline, context).is_pending() {
            return Poll::Pending;
        }
        self.stats.refused(Refusal::SlowReader);
        self.reset_when_closed();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer took too long to read")))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.stalled_until.is_some() && self.clock.is_displaced() {
            self.reset_when_closed();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    this.clock.bytes_read();
                }
                Poll::Ready(result)
            }
            Poll::Pending => this.poll_read_deadline(context),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.after_write(outcome, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.after_write(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(Err(error)) = Pin::new(&mut this.stream).poll_shutdown(context) {
            return Poll::Ready(Err(error));
        }
        let wait = this.clock.peer_may_be_sending();
        let mut scratch = [0_u8; 4096];
        while this.lingered < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => this.lingered += buffer.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending if wait => return this.read_timer.poll_within(LINGER, context).map(Ok),
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A timer that is only made when something has to be waited for.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    lingering_until: Option<Instant>,
}

impl Timer {
    fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(context)
    }

    /// Like [`poll`](Self::poll), with a deadline this long after the first call.
    fn poll_within(&mut self, time: Duration, context: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.lingering_until.get_or_insert_with(|| Instant::now() + time);
        self.poll(deadline, context)
    }
}
