//! One request: checked, routed, handled, answered.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, VARY,
};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::body::{Held, ResponseBody, Scrape};
use crate::clock::Clock;
use crate::gzip::{self, Pool};
use crate::request::{Headers, Query, QueryError};
use crate::room::{self, Room};
use crate::route::{Panicked, Route};
use crate::stats::{Refusal, Stats};
use crate::{Limits, Method, Request, Response, Status};

/// Called with each request that has a route, before its handler.
pub(crate) type OnRequest = Box<dyn Fn(&Request) + Send + Sync>;

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) routes: Vec<Route>,
    pub(crate) limits: Limits,
    pub(crate) stats: Arc<Stats>,
    pub(crate) scrapes: Arc<Semaphore>,
    pub(crate) room: Arc<Room>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) on_request: Option<OnRequest>,
}

/// An answer and what surrounds it.
struct Answer {
    response: Response,
    route: Option<usize>,
    scrape: Option<Scrape>,
    /// Whether the connection ends with this answer.
    close: bool,
}

impl Answer {
    fn refuse(status: Status, text: impl Into<String>) -> Self {
        let text = text.into() + "\n";
        Self { response: Response::text(text).status(status), route: None, scrape: None, close: false }
    }

    fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.response = self.response.header(name.as_str().to_owned(), value);
        self
    }
}

impl Shared {
    /// Answers one request of a connection.
    pub(crate) async fn serve(
        &self,
        request: http::Request<Incoming>,
        peer: SocketAddr,
        clock: &Arc<Clock>,
    ) -> http::Response<ResponseBody> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let index = self.routes.iter().position(|route| route.path == path);
        let accepts_gzip = head
            .headers
            .get_all(ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(gzip::accepted);

        let mut answer = match self.read_body(body, clock).await {
            Ok(()) => self.route(head, peer, index).await,
            Err(refusal) => refusal,
        };
        answer.route = index;
        clock.response_begun(answer.scrape.is_some());
        let held = Held { clock: clock.clone(), stats: self.stats.clone(), _scrape: answer.scrape.take() };
        self.finish(answer, peer, accepts_gzip, held)
    }

    /// Reads what a request carries and throws it away: no route wants any, but a peer may send some.
    async fn read_body(&self, mut body: Incoming, clock: &Clock) -> Result<(), Answer> {
        if body.is_end_stream() {
            clock.request_read();
            return Ok(());
        }
        clock.body_begun();
        let limit = self.limits.body_bytes as u64;
        let mut bytes = body.size_hint().lower();
        let refusal = if bytes > limit {
            Answer::refuse(Status::CONTENT_TOO_LARGE, "request body too large")
        } else {
            bytes = 0;
            loop {
                let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
                bytes += match &frame {
                    None => {
                        clock.request_read();
                        return Ok(());
                    }
                    Some(Err(_)) => break Answer::refuse(Status::BAD_REQUEST, "request body broke off"),
                    Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
                };
                if bytes > limit {
                    break Answer::refuse(Status::CONTENT_TOO_LARGE, "request body too large");
                }
            }
        };
        self.stats.refused(Refusal::Body);
        clock.body_refused();
        Err(Answer { close: true, ..refusal })
    }

    async fn route(&self, head: http::request::Parts, peer: SocketAddr, index: Option<usize>) -> Answer {
        if head.version == Version::HTTP_11 && head.headers.get_all(HOST).iter().count() != 1 {
            self.stats.refused(Refusal::Malformed);
            return Answer::refuse(Status::BAD_REQUEST, "HTTP/1.1 asks for one Host header");
        }
        let Some(route) = index.and_then(|index| self.routes.get(index)) else {
            let paths: Vec<&str> = self.routes.iter().map(|route| route.path.as_str()).collect();
            return Answer::refuse(Status::NOT_FOUND, format!("not found; there is {}", paths.join(", ")));
        };
        let method = match head.method {
            http::Method::GET => Method::Get,
            http::Method::HEAD => Method::Head,
            _ => {
                return Answer::refuse(Status::METHOD_NOT_ALLOWED, "method not allowed")
                    .header(ALLOW, "GET, HEAD");
            }
        };
        let query = match Query::parse(head.uri.query().unwrap_or_default(), &self.limits) {
            Ok(query) => query,
            Err(error) => {
                self.stats.refused(Refusal::Query);
                let status = match error {
                    QueryError::TooLong => Status::URI_TOO_LONG,
                    QueryError::TooManyPairs | QueryError::Malformed => Status::BAD_REQUEST,
                };
                return Answer::refuse(status, error.to_string());
            }
        };
        let path = head.uri.path().to_owned();
        let stats = self.stats.clone();
        self.handle(route, Request { method, path, query, headers: Headers(head.headers), peer, stats }).await
    }

    /// A place for an expensive request, if need be that of a peer that does not read.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        match self.scrapes.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if self.room.make(&self.stats, true) => room::handed_over(self.scrapes.clone()).await,
            Err(_) => None,
        }
    }

    async fn handle(&self, route: &Route, request: Request) -> Answer {
        let scrape = if route.expensive {
            let Some(permit) = self.place().await else {
                self.stats.refused(Refusal::Scrapes);
                let text = format!("{} requests of this kind are in progress", self.limits.scrapes);
                return Answer::refuse(Status::SERVICE_UNAVAILABLE, text).header(RETRY_AFTER, "1");
            };
            Some(Scrape::new(&self.stats, permit))
        } else {
            None
        };
        if let Some(on_request) = &self.on_request {
            on_request(&request);
        }
        match tokio::time::timeout(self.limits.handler_time, route.call(request)).await {
            Ok(Ok(response)) => Answer { response, route: None, scrape, close: false },
            Ok(Err(Panicked)) => {
                self.stats.panicked();
                Answer::refuse(Status::INTERNAL_SERVER_ERROR, "internal error")
            }
            Err(_) => {
                self.stats.refused(Refusal::HandlerTooSlow);
                let text = format!("no answer within {:?}", self.limits.handler_time);
                Answer::refuse(Status::SERVICE_UNAVAILABLE, text).header(RETRY_AFTER, "1")
            }
        }
    }

    fn finish(
        &self,
        answer: Answer,
        peer: SocketAddr,
        accepts_gzip: bool,
        held: Held,
    ) -> http::Response<ResponseBody> {
        let Answer { response, route: index, close, .. } = answer;
        let (response, mut headers) = match header_map(&response) {
            Some(headers) => (response, headers),
            None => {
                tracing::warn!("a handler gave a header that HTTP does not allow; answered 500");
                let response = Answer::refuse(Status::INTERNAL_SERVER_ERROR, "internal error").response;
                (response, http::HeaderMap::new())
            }
        };
        let Response { status, body, .. } = response;
        self.stats.responded(index, status.code());

        let compression = index.and_then(|index| self.routes.get(index)).map(|route| route.compression);
        let mut pool = None;
        // A handler that encodes by itself is left alone, and so is what fits into one packet anyway.
        if let Some(compression) = compression
            && worth_compressing(&body)
            && !headers.contains_key(CONTENT_ENCODING)
        {
            if compression != crate::Compression::Never {
                headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
            }
            if accepts_gzip && compression.applies_to(peer.ip()) {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                pool = Some(&self.pool);
            }
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut out = http::Response::new(ResponseBody::new(body, pool, held));
        *out.headers_mut() = headers;
        // Every Status is a valid code; the fallback is never taken.
        *out.status_mut() = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        out
    }
}

/// The least length of a whole body that is compressed, in bytes.
const COMPRESSED_BYTES_MIN: usize = 1024;

fn worth_compressing(body: &crate::Body) -> bool {
    match body {
        crate::Body::Empty => false,
        crate::Body::Full(bytes) => bytes.len() >= COMPRESSED_BYTES_MIN,
        crate::Body::Chunks(_) => true,
    }
}

fn header_map(response: &Response) -> Option<http::HeaderMap> {
    let mut headers = http::HeaderMap::with_capacity(response.headers.len() + 4);
    if let Some(content_type) = &response.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).ok()?);
    }
    for (name, value) in &response.headers {
        headers.append(HeaderName::try_from(name.as_ref()).ok()?, HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}
