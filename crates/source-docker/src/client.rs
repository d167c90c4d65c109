//! Requests to an engine over its unix socket or TCP, on kept connections.
//!
//! bollard makes the `/_ping` (through [`Client`] as its transport). The other requests are our own, because in
//! bollard 0.21
//! - one unknown word in one container's State, Health or the like fails the whole list, and an event of an
//!   unknown type ends the stream: its models are closed enums, and no raw answer can be had
//!   (<https://github.com/fussybeaver/bollard>, models generated from the API's schema);
//! - its timeout ends at the headers, and engines answer headers first;
//! - it opens a connection for each request;
//! - it does not send the API version (mended on its main branch);
//! - its reader of JSON streams has an open fault (<https://github.com/fussybeaver/bollard/issues/560>).

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::{Endpoint, advice, read::ApiVersion, remote::transport::Transport};

/// Idle connections kept: as many as requests are made at a time.
const IDLE_MAX: usize = 4;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Nobody could be reached.
    #[error("{}", advice::connect(endpoint, error))]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("{}", advice::broken(endpoint, error).unwrap_or_else(|| format!("failed to read {target} from the engine: {error}")))]
    Http {
        /// Where.
        endpoint: Endpoint,
        /// Path and query.
        target: String,
        /// Why.
        #[source]
        error: hyper::Error,
    },
    /// No whole answer in time.
    #[error("the engine did not answer {target} within {} ms: it is overloaded, stopped or hangs", limit.as_millis())]
    Timeout {
        /// Path and query.
        target: String,
        /// The time it had.
        limit: Duration,
    },
    /// The answer is longer than is read.
    #[error("the engine's answer to {target} is longer than {limit} bytes, which is the most that is read")]
    TooLong {
        /// Path and query.
        target: String,
        /// The limit.
        limit: usize,
    },
    /// The engine refused.
    #[error("the engine answered {target} with status {status}: {message}")]
    Status {
        /// Path and query.
        target: String,
        /// Status of the answer.
        status: StatusCode,
        /// What it says, shortened.
        message: String,
    },
    /// The answer is not what the API promises.
    #[error("the engine's answer to {target} is not what its API promises: is {target} behind a proxy?")]
    Answer {
        /// Path and query.
        target: String,
    },
    /// bollard could not be used.
    #[error("failed to ping the engine: {0}")]
    Ping(String),
}

impl Fault {
    /// Whether a person must mend it.
    pub(crate) fn is_permission(&self) -> bool {
        matches!(self, Self::Connect { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the engine does not understand us.
    pub(crate) fn is_bad_request(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::BAD_REQUEST)
    }

    /// Whether somebody forbids it: a proxy before the engine, most likely.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::FORBIDDEN)
    }

    /// Whether no whole answer came in time.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether the engine says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

/// Counts of requests, shared by all connections to one engine.
#[derive(Debug, Default)]
pub(crate) struct RequestCounts {
    /// Sent.
    pub(crate) sent: AtomicU64,
    /// Without a good answer.
    pub(crate) failed: AtomicU64,
}

/// What the engine says of itself in the headers of each answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    /// `Api-Version`.
    pub(crate) api: Option<ApiVersion>,
    /// Whether `Libpod-Api-Version` or `Server` names Podman.
    pub(crate) is_podman: bool,
}

impl Hello {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            api: text("api-version").and_then(ApiVersion::parse),
            is_podman: headers.contains_key("libpod-api-version")
                || text("server").is_some_and(|server| server.starts_with("Libpod")),
        }
    }
}

type Connection = SendRequest<Empty<Bytes>>;

/// Connections to one engine, from one loss to the next.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    connect_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
    hello: Mutex<Hello>,
    counts: Arc<RequestCounts>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Connects once, to know that somebody is there.
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        connect_timeout: Duration,
        counts: Arc<RequestCounts>,
    ) -> Result<Self, Fault> {
        let client = Self::new(endpoint, connect_timeout, counts)?;
        let connection = client.open().await?;
        client.keep(connection);
        Ok(client)
    }

    /// One that connects when something is asked.
    pub(crate) fn new(
        endpoint: &Endpoint,
        connect_timeout: Duration,
        counts: Arc<RequestCounts>,
    ) -> Result<Self, Fault> {
        let transport =
            Transport::new(endpoint).map_err(|error| Fault::Connect { endpoint: endpoint.clone(), error })?;
        let shared =
            Shared { transport, connect_timeout, idle: Mutex::default(), hello: Mutex::default(), counts };
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn open(&self) -> Result<Connection, Fault> {
        let transport = &self.shared.transport;
        let fault = |error| Fault::Connect { endpoint: transport.endpoint().clone(), error };
        let stream = timeout(self.shared.connect_timeout, transport.connect())
            .await
            .map_err(|_| fault(io::ErrorKind::TimedOut.into()))?
            .map_err(fault)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| fault(io::Error::other(error)))?;
        // Ends when the sender is dropped or the engine hangs up; whoever waits for an answer learns the fault.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = lock(&self.shared.idle);
        if !connection.is_closed() && idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    fn reuse(&self) -> Option<Connection> {
        let mut idle = lock(&self.shared.idle);
        idle.retain(|connection| !connection.is_closed());
        let ready = idle.iter().position(SendRequest::is_ready)?;
        Some(idle.swap_remove(ready))
    }

    fn broken(&self, target: &str, error: hyper::Error) -> Fault {
        let endpoint = self.shared.transport.endpoint().clone();
        Fault::Http { endpoint, target: target.to_owned(), error }
    }

    /// Sends a request; returns the answer's head and the connection that its body comes on.
    async fn send(&self, target: &str) -> Result<(Response<Incoming>, Connection), Fault> {
        self.shared.counts.sent.fetch_add(1, Relaxed);
        let fault = |error| self.broken(target, error);
        if let Some(mut connection) = self.reuse() {
            match connection.send_request(request(target)).await {
                Ok(response) => return Ok((self.greeted(response), connection)),
                // The engine had closed the kept connection: its right, and no fault.
                Err(error) if error.is_canceled() || error.is_incomplete_message() || error.is_closed() => {}
                Err(error) => return Err(fault(error)),
            }
        }
        let mut connection = self.open().await?;
        let response = connection.send_request(request(target)).await.map_err(fault)?;
        Ok((self.greeted(response), connection))
    }

    fn greeted(&self, response: Response<Incoming>) -> Response<Incoming> {
        let mut hello = lock(&self.shared.hello);
        if hello.api.is_none() {
            *hello = Hello::read(response.headers());
        }
        drop(hello);
        response
    }

    /// The answer of a `GET`, whole, as text; what is not UTF-8 in it is replaced.
    pub(crate) async fn get(&self, target: &str, limit: Duration, bytes_max: usize) -> Result<String, Fault> {
        let result = timeout(limit, self.get_unbounded(target, bytes_max)).await;
        let result = result.unwrap_or_else(|_| Err(Fault::Timeout { target: target.to_owned(), limit }));
        match &result {
            Err(fault) if !fault.is_not_found() => {
                self.shared.counts.failed.fetch_add(1, Relaxed);
            }
            _ => {}
        }
        result
    }

    async fn get_unbounded(&self, target: &str, bytes_max: usize) -> Result<String, Fault> {
        let (response, connection) = self.send(target).await?;
        let status = response.status();
        let body = self.collect(response.into_body(), target, bytes_max).await?;
        self.keep(connection);
        if !status.is_success() {
            return Err(refusal(target, status, &body));
        }
        Ok(String::from_utf8(body.into())
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    async fn collect(&self, mut body: Incoming, target: &str, bytes_max: usize) -> Result<Bytes, Fault> {
        let too_long = || Fault::TooLong { target: target.to_owned(), limit: bytes_max };
        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if expected > bytes_max {
            return Err(too_long());
        }
        let mut whole = BytesMut::with_capacity(expected);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(target, error))?;
            if let Ok(data) = frame.into_data() {
                if whole.len() + data.len() > bytes_max {
                    return Err(too_long());
                }
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole.freeze())
    }

    /// The body of a stream that has no end, once its head has come; on a connection of its own.
    pub(crate) async fn stream(&self, target: &str) -> Result<(Incoming, Connection), Fault> {
        let (response, connection) = self.send(target).await?;
        let status = response.status();
        if !status.is_success() {
            let body = self.collect(response.into_body(), target, 64 << 10).await?;
            return Err(refusal(target, status, &body));
        }
        Ok((response.into_body(), connection))
    }

    /// Asks whether the engine answers, by bollard, and what it says of itself.
    pub(crate) async fn ping(&self, limit: Duration) -> Result<Hello, Fault> {
        let broken = Arc::<Mutex<Option<Fault>>>::default();
        let docker = self.bollard(Arc::clone(&broken))?;
        let result = match timeout(limit, docker.ping()).await {
            Ok(Ok(_)) => Ok(lock(&self.shared.hello).clone()),
            // What bollard makes of our own faults says less than they do.
            Ok(Err(error)) => Err(lock(&broken).take().unwrap_or_else(|| Fault::Ping(error.to_string()))),
            Err(_) => Err(Fault::Timeout { target: "/_ping".to_owned(), limit }),
        };
        if result.is_err() {
            self.shared.counts.failed.fetch_add(1, Relaxed);
        }
        result
    }

    /// bollard, on our connections: pooled, counted, and within our deadlines. Why a request failed is left in `broken`.
    fn bollard(&self, broken: Arc<Mutex<Option<Fault>>>) -> Result<bollard::Docker, Fault> {
        let client = self.clone();
        let transport = move |request: bollard::BollardRequest| {
            let (client, broken) = (client.clone(), Arc::clone(&broken));
            async move {
                let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
                let (response, connection) = client.send(&target).await.map_err(|fault| {
                    let told = io::Error::other(fault.to_string());
                    *lock(&broken) = Some(fault);
                    told
                })?;
                // Not ready before its body has been read: `reuse` passes it over until then.
                client.keep(connection);
                Ok(response)
            }
        };
        // The deadline is ours; bollard's ends at the headers.
        bollard::Docker::connect_with_custom_transport(
            transport,
            Some("http://engine"),
            3_600,
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|error| Fault::Ping(error.to_string()))
    }
}

fn request(target: &str) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    // Targets are made of our own words and percent-encoded ids: a failure here would leave `/`, a 404.
    if let Ok(uri) = target.parse() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().insert(HOST, http::HeaderValue::from_static("engine"));
    request
}

fn refusal(target: &str, status: StatusCode, body: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(body);
    let faults = crate::json::Faults::default();
    let message = crate::json::Object::parse(&text)
        .and_then(|answer| answer.word("message", &faults))
        .unwrap_or_else(|| text.trim().to_owned());
    Fault::Status { target: target.to_owned(), status, message: message.chars().take(200).collect() }
}

/// An id as a path segment: engines' ids are hexadecimal, but they come from outside.
pub(crate) fn segment(id: &str) -> String {
    let mut segment = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_inside_their_segment() {
        assert_eq!(segment("c0ffee-1_2.3"), "c0ffee-1_2.3");
        assert_eq!(segment("a/../b?c d\n"), "a%2F..%2Fb%3Fc%20d%0A");
    }
}
