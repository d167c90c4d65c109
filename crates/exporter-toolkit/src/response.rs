//! What a handler gives: status, content type, headers, and a body that is made while the peer reads it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// A handler's answer.
///
/// ```
/// use exporter_toolkit::{Body, Response};
///
/// let page = (0..1_000).map(|n| format!("up{{n=\"{n}\"}} 1\n").into_bytes());
/// let response = Response::new(Body::chunks(page)).content_type("text/plain; version=0.0.4; charset=utf-8");
/// # drop(response);
/// ```
#[derive(Debug)]
#[must_use]
pub struct Response {
    pub(crate) status: Status,
    pub(crate) content_type: Option<Cow<'static, str>>,
    pub(crate) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(crate) body: Body,
}

impl Response {
    /// 200 with this body and no content type.
    pub fn new(body: Body) -> Self {
        Self { status: Status::OK, content_type: None, headers: Vec::new(), body }
    }

    /// 200 with a line or page of plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Body::full(text.into())).content_type("text/plain; charset=utf-8")
    }

    /// Sets the status.
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Sets the content type.
    pub fn content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Adds a header. One that HTTP does not allow (a line break in its value, say) makes the whole answer a 500.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// An HTTP status code from 200 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(u16);

impl Status {
    /// 200.
    pub const OK: Self = Self(200);
    /// 400.
    pub const BAD_REQUEST: Self = Self(400);
    /// 404.
    pub const NOT_FOUND: Self = Self(404);
    /// 405.
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    /// 406.
    pub const NOT_ACCEPTABLE: Self = Self(406);
    /// 413.
    pub const CONTENT_TOO_LARGE: Self = Self(413);
    /// 414.
    pub const URI_TOO_LONG: Self = Self(414);
    /// 500.
    pub const INTERNAL_SERVER_ERROR: Self = Self(500);
    /// 503.
    pub const SERVICE_UNAVAILABLE: Self = Self(503);

    /// Any code from 200 to 599; `None` outside.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code <= 599 { Some(Self(code)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }
}

/// The bytes of a response.
#[derive(Default)]
#[non_exhaustive]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// All at once, with a known length.
    Full(Bytes),
    /// One piece at a time: the next is asked for when the one before has been handed to the socket, so a response
    /// of any size holds one piece. Pieces of about 64 KiB cost the least. A panic ends this connection alone (where
    /// panics unwind).
    Chunks(Box<dyn Iterator<Item = Bytes> + Send>),
}

impl Body {
    /// A body that is there already.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(bytes.into())
    }

    /// A body that is made while it is read; vectors and strings are taken without a copy.
    pub fn chunks<I>(chunks: I) -> Self
    where
        I: IntoIterator<Item: Into<Bytes> + 'static, IntoIter: Send + 'static>,
    {
        Self::Chunks(Box::new(chunks.into_iter().map(Into::into)))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => f.debug_tuple("Full").field(&bytes.len()).finish(),
            Self::Chunks(_) => f.write_str("Chunks"),
        }
    }
}
