//! A response's bytes as hyper asks for them, and what is held until the last of them is gone.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::Body;
use crate::clock::Clock;
use crate::gzip::{Gzip, INPUT_BYTES_PER_TURN, Pool, Step};
use crate::stats::Stats;

/// What a response holds while it is under way; dropped with the body, whether it was read to its end or not.
pub(crate) struct Held {
    pub(crate) clock: Arc<Clock>,
    pub(crate) stats: Arc<Stats>,
    /// Held for its drop alone.
    pub(crate) _scrape: Option<Scrape>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clock.response_ended();
    }
}

/// One of the places for expensive requests.
pub(crate) struct Scrape {
    stats: Arc<Stats>,
    _permit: OwnedSemaphorePermit,
}

impl Scrape {
    pub(crate) fn new(stats: &Arc<Stats>, permit: OwnedSemaphorePermit) -> Self {
        stats.scrape_started();
        Self { stats: stats.clone(), _permit: permit }
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.stats.scrape_ended();
    }
}

/// The body that hyper pulls.
pub(crate) struct ResponseBody {
    source: Source,
    gzip: Option<Gzip>,
    sent_in_turn: usize,
    held: Held,
}

enum Source {
    Full(Bytes),
    Chunks(Box<dyn Iterator<Item = Bytes> + Send>),
}

impl ResponseBody {
    /// `pool` is given when the body is to be compressed.
    pub(crate) fn new(body: Body, pool: Option<&Arc<Pool>>, held: Held) -> Self {
        let source = match body {
            Body::Empty => Source::Full(Bytes::new()),
            Body::Full(bytes) => Source::Full(bytes),
            Body::Chunks(chunks) => Source::Chunks(chunks),
        };
        Self { source, gzip: pool.map(Gzip::new), sent_in_turn: 0, held }
    }
}

impl Source {
    fn next(&mut self, stats: &Stats) -> io::Result<Option<Bytes>> {
        match self {
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Ok((!bytes.is_empty()).then_some(bytes))
            }
            Self::Chunks(chunks) => catch_unwind(AssertUnwindSafe(|| chunks.next())).map_err(|_| {
                stats.panicked();
                io::Error::other("the body panicked while it was made")
            }),
        }
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        // A peer that reads as fast as we write would keep this task running to the response's end.
        if this.sent_in_turn >= INPUT_BYTES_PER_TURN {
            this.sent_in_turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = || this.source.next(&this.held.stats);
        let piece = match &mut this.gzip {
            Some(gzip) => match gzip.step(next) {
                Ok(Step::Piece(piece)) => Some(piece),
                Ok(Step::End) => None,
                Ok(Step::Yield) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            },
            None => match { next }() {
                Ok(piece) => piece,
                Err(error) => return Poll::Ready(Some(Err(error))),
            },
        };
        this.sent_in_turn += piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.gzip.is_none() && matches!(&self.source, Source::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(bytes) if self.gzip.is_none() => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
