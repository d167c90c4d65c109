//! A recorded engine: a server on a unix socket, and on TCP, that answers by script, and can misbehave.
//!
//! Answers are chosen by path without the version prefix and the query. `/_ping` answers from the start;
//! anything else without an answer is a 404. `/events` is a stream that the test feeds.

use std::{
    collections::HashMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// How a request is answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Answer {
    /// Status 200 with this body.
    Body(Bytes),
    /// This status with this body.
    Status(u16, Bytes),
    /// The head of a 200, and then nothing.
    Stall,
    /// Nothing at all.
    Never,
}

impl Answer {
    /// Status 200 with this text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Body(text.into().into())
    }
}

enum Feed {
    Bytes(Bytes),
    /// Ends the stream as if the engine had died: without its end mark.
    Cut,
    /// Ends the stream in order.
    End,
}

type AnswerBody = UnsyncBoxBody<Bytes, std::io::Error>;

#[derive(Default)]
struct Script {
    answers: HashMap<String, Answer>,
    headers: Vec<(String, String)>,
    requests: Vec<String>,
    streams: Vec<mpsc::UnboundedSender<Feed>>,
    connections: u64,
}

struct Shared {
    script: Mutex<Script>,
    /// Number of requests so far, for those who wait.
    progress: watch::Sender<usize>,
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that plays an engine. It needs a tokio runtime, and ends when it is dropped.
pub struct RecordedEngine {
    directory: tempfile::TempDir,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
    remote: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for RecordedEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordedEngine").field("socket", &self.socket()).finish_non_exhaustive()
    }
}

impl RecordedEngine {
    /// Starts one that has no container and says that its API is 1.41.
    ///
    /// # Panics
    ///
    /// No socket can be made in the temporary directory.
    #[must_use]
    pub fn start() -> Self {
        let shared = Shared { script: Mutex::default(), progress: watch::Sender::new(0) };
        let directory = tempfile::tempdir().expect("failed to make a directory for the engine's socket");
        let mut engine = Self { directory, shared: Arc::new(shared), server: None, remote: Vec::new() };
        engine.headers(&[("api-version", "1.41"), ("server", "Docker/20.10.24 (linux)")]);
        engine.answer("/_ping", Answer::text("OK"));
        engine.answer("/containers/json", Answer::text("[]"));
        engine.answer("/version", Answer::text(fixture("engine-20.10/version.json")));
        engine.answer("/info", Answer::text(fixture("engine-20.10/info.json")));
        engine.listen();
        engine
    }

    /// Path of its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("engine.sock")
    }

    /// Sets the headers of every answer.
    pub fn headers(&self, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.shared.script().headers = headers.collect();
    }

    /// Sets the answer to a path, such as `/containers/json`.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared.script().answers.insert(path.to_owned(), answer);
    }

    /// Sends bytes to every open event stream.
    pub fn event(&self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.shared.script().streams.retain(|stream| stream.send(Feed::Bytes(bytes.clone())).is_ok());
    }

    /// Breaks every event stream.
    pub fn cut(&self) {
        for stream in self.shared.script().streams.drain(..) {
            let _ = stream.send(Feed::Cut);
        }
    }

    /// Ends every event stream in order.
    pub fn end(&self) {
        for stream in self.shared.script().streams.drain(..) {
            let _ = stream.send(Feed::End);
        }
    }

    /// Stops to listen, breaks all connections and removes the socket.
    pub fn stop(&mut self) {
        self.cut();
        if let Some(server) = self.server.take() {
            server.abort();
        }
        self.remote.drain(..).for_each(|server| server.abort());
        let _ = std::fs::remove_file(self.socket());
    }

    /// Listens on a port of the loopback as well, with TLS where a certificate is given; returns the port.
    ///
    /// # Panics
    ///
    /// There is no port.
    pub async fn listen_tcp(&mut self, tls: Option<TlsAcceptor>) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("failed to listen on a port");
        let port = listener.local_addr().expect("failed to read the port").port();
        let shared = self.shared.clone();
        self.remote.push(tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => connection(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, shared).await;
                            }
                        }
                    }
                });
            }
        }));
        port
    }

    /// Listens, again after [`RecordedEngine::stop`].
    ///
    /// # Panics
    ///
    /// No socket can be made.
    pub fn listen(&mut self) {
        let listener = UnixListener::bind(self.socket()).expect("failed to listen on the engine's socket");
        self.server = Some(tokio::spawn(serve(listener, self.shared.clone())));
    }

    /// Targets of the requests so far, versions and queries included.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared.script().requests.clone()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.script().connections
    }

    /// Waits until so many requests have a target that contains this.
    ///
    /// # Panics
    ///
    /// They do not come within ten seconds.
    pub async fn wait_for(&self, part: &str, count: usize) {
        let mut progress = self.shared.progress.subscribe();
        let come = progress.wait_for(|_| {
            self.shared.script().requests.iter().filter(|target| target.contains(part)).count() >= count
        });
        let come = tokio::time::timeout(Duration::from_secs(10), come).await.is_ok();
        assert!(come, "waited in vain for {count} × {part} among {:#?}", self.requests());
    }
}

impl Drop for RecordedEngine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A recorded file, by its path below `fixtures/`.
///
/// # Panics
///
/// There is no such file.
#[must_use]
pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("failed to read {}: {error}", path.display()))
}

async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    // Dropped with this task, so that an engine that stops breaks its connections.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, shared.clone()));
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    shared.script().connections += 1;
    let service = hyper::service::service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(&shared, &request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(shared: &Shared, request: &Request<Incoming>) -> Response<AnswerBody> {
    let path = unversioned(request.uri().path()).to_owned();
    let (answer, headers, stream) = {
        let mut script = shared.script();
        script.requests.push(request.uri().to_string());
        let answer = script.answers.get(&path).cloned();
        let stream = (path == "/events" && answer.is_none()).then(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            script.streams.push(sender);
            receiver
        });
        (answer, script.headers.clone(), stream)
    };
    shared.progress.send_modify(|count| *count += 1);
    let whole = |status: u16, body: Bytes| {
        let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        response
    };
    let mut response = match (stream, answer) {
        (Some(receiver), _) => Response::new(EventBody(receiver).boxed_unsync()),
        (None, Some(Answer::Body(body))) => whole(200, body),
        (None, Some(Answer::Status(status, body))) => whole(status, body),
        (None, Some(Answer::Stall)) => Response::new(Stalled.boxed_unsync()),
        (None, Some(Answer::Never)) => std::future::pending().await,
        (None, None) => whole(404, Bytes::from_static(br#"{"message":"no such thing"}"#)),
    };
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// A path without `/v1.41`.
fn unversioned(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/v1.") else { return path };
    rest.find('/').map_or(path, |slash| &rest[slash..])
}

struct EventBody(mpsc::UnboundedReceiver<Feed>);

impl Body for EventBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|feed| match feed {
            Some(Feed::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Feed::Cut) => Some(Err(std::io::ErrorKind::BrokenPipe.into())),
            Some(Feed::End) | None => None,
        })
    }
}

struct Stalled;

impl Body for Stalled {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}
