//! A relay: a port of the loopback that leads to an engine's unix socket, with TLS or without.
//!
//! It makes of the engine at hand one that is elsewhere. What it is asked for and what the engine says of its containers'
//! numbers is kept, for a test to compare with; those requests are counted while they are open, and can be held.
//! It runs on a thread of its own: tests need no runtime.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_LENGTH};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixStream},
    runtime::Runtime,
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;
type Fault = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Default)]
struct State {
    targets: Vec<String>,
    /// Targets of requests for numbers, with the answers.
    stats: Vec<(String, Bytes)>,
    open: usize,
    open_max: usize,
    connections: u64,
}

#[derive(Debug)]
struct Shared {
    engine: PathBuf,
    state: Mutex<State>,
    held: watch::Sender<bool>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running relay; it ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
    // Ends its tasks when it is dropped.
    _runtime: Runtime,
}

impl Relay {
    /// To the engine that listens at this socket; from TLS where a certificate is given.
    ///
    /// # Panics
    ///
    /// There is no port, or no thread.
    #[must_use]
    pub fn to(engine: &Path, tls: Option<TlsAcceptor>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("failed to start a thread for the relay");
        let listener =
            runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("failed to listen on a port");
        let port = listener.local_addr().expect("failed to read the port").port();
        let state = Mutex::default();
        let shared = Arc::new(Shared { engine: engine.to_owned(), state, held: watch::Sender::new(false) });
        runtime.spawn(serve(listener, tls, Arc::clone(&shared)));
        Self { port, shared, _runtime: runtime }
    }

    /// The port of the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Targets of all requests so far.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.shared.state().targets.clone()
    }

    /// What the engine answered to requests for a container's numbers, the oldest first.
    #[must_use]
    pub fn stats(&self, id: &str) -> Vec<Bytes> {
        let state = self.shared.state();
        let of_it = state.stats.iter().filter(|(target, _)| target.contains(id));
        of_it.map(|(_, body)| body.clone()).collect()
    }

    /// How many requests for numbers wait for their answers, and how many have at most.
    #[must_use]
    pub fn open(&self) -> (usize, usize) {
        let state = self.shared.state();
        (state.open, state.open_max)
    }

    /// Connections so far, those that TLS ended among them.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// From now on requests for numbers wait, or wait no more.
    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.state().connections += 1;
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        connections.spawn(async move {
            match tls {
                None => connection(stream, shared).await,
                // Whoever is refused is told so by TLS.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = hyper::service::service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(respond(&shared, request).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let target = request.uri().to_string();
    shared.state().targets.push(target.clone());
    let answer = if request.uri().path().ends_with("/stats") {
        numbers(shared, request, target).await
    } else {
        pass(shared, request).await.map(|(response, _)| response.map(BodyExt::boxed_unsync))
    };
    answer.unwrap_or_else(|error| {
        let body = Full::new(Bytes::from(error.to_string())).map_err(|never| match never {});
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}

/// Open from its arrival until the engine has answered, or until whoever asked gives up.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn new(shared: &'a Shared) -> Self {
        let mut state = shared.state();
        state.open += 1;
        state.open_max = state.open_max.max(state.open);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.state().open -= 1;
    }
}

async fn numbers(
    shared: &Shared,
    request: Request<Incoming>,
    target: String,
) -> Result<Response<Body>, Fault> {
    let _open = Open::new(shared);
    shared.held.subscribe().wait_for(|held| !held).await?;
    // The connection has to live until its body has come.
    let (response, _connection) = pass(shared, request).await?;
    let (mut head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    shared.state().stats.push((target, body.clone()));
    head.headers.remove(http::header::TRANSFER_ENCODING);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Ok(Response::from_parts(head, Full::new(body).map_err(|never| match never {}).boxed_unsync()))
}

/// Asks the engine the same, on a connection of its own.
async fn pass(
    shared: &Shared,
    request: Request<Incoming>,
) -> Result<(Response<Incoming>, SendRequest<Incoming>), Fault> {
    let stream = UnixStream::connect(&shared.engine).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    Ok((response, sender))
}
