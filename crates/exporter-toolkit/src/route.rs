//! Routes: a path, what answers it, and how.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::gzip::Compression;
use crate::{Request, Response};

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;
type Handler = Box<dyn Fn(Request) -> Answer + Send + Sync>;

/// One path and its handler, for GET and HEAD.
#[must_use]
pub struct Route {
    pub(crate) path: String,
    pub(crate) compression: Compression,
    pub(crate) expensive: bool,
    handler: Handler,
}

impl Route {
    /// Answers GET and HEAD on exactly this path. Paths are compared as sent, without decoding.
    ///
    /// A handler that panics gives a 500 (where panics unwind).
    pub fn get<F, A>(path: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let handler: Handler = Box::new(move |request| Box::pin(handler(request)));
        Self { path: path.into(), compression: Compression::Auto, expensive: false, handler }
    }

    /// Counts its requests against [`Limits::scrapes`](crate::Limits::scrapes).
    pub fn expensive(mut self) -> Self {
        self.expensive = true;
        self
    }

    /// Says when its responses are compressed; [`Compression::Auto`] unless said.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Calls the handler; `Err` when it panicked, in its call or later.
    pub(crate) async fn call(&self, request: Request) -> Result<Response, Panicked> {
        let answer = catch_unwind(AssertUnwindSafe(|| (self.handler)(request))).map_err(|_| Panicked)?;
        Caught(answer).await
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A handler panicked; the panic hook has said where.
#[derive(Debug)]
pub(crate) struct Panicked;

struct Caught(Answer);

impl Future for Caught {
    type Output = Result<Response, Panicked>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = &mut self.get_mut().0;
        match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}
