//! Listening, accepting, and stopping.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::error::{BindError, ServeError};
use crate::gzip::Pool;
use crate::room;
use crate::service::{OnRequest, Shared};
use crate::socket::{LINGER, Socket};
use crate::stats::{Refusal, Stats, StatsSnapshot};
use crate::{Limits, Request, Response, Route};

/// hyper's smallest buffer, and so the smallest limit of header bytes.
const HEADER_BYTES_MIN: usize = 8 << 10;

/// Connections past the limit that are told so at one time; the ones after them are closed without a word.
const TURNED_AWAY_MAX: usize = 32;

const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// How long to wait before accepting again when the kernel has no file descriptor or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Collects routes and limits; [`bind`](Self::bind) makes the server.
#[derive(Default)]
#[must_use]
pub struct Builder {
    routes: Vec<Route>,
    limits: Limits,
    on_request: Option<OnRequest>,
}

impl Builder {
    /// Adds a route; it replaces an earlier one of the same path.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.retain(|earlier| earlier.path != route.path);
        self.routes.push(route);
        self
    }

    /// Adds a cheap route for GET and HEAD: short for `route(Route::get(path, handler))`.
    pub fn get<F, A>(self, path: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        self.route(Route::get(path, handler))
    }

    /// Sets the limits; the defaults of [`Limits`] unless said.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Shows each request that reaches a handler to this function first: the place where a tracer reads its headers.
    /// It must not block. Costs nothing when not set.
    pub fn on_request(mut self, hook: impl Fn(&Request) + Send + Sync + 'static) -> Self {
        self.on_request = Some(Box::new(hook));
        self
    }

    /// Listens on an address (port 0 takes a free one). Needs no runtime yet, so a program can fail early.
    ///
    /// # Errors
    /// One sentence that names the address and what to do: the port is in use, needs privileges, or the address is
    /// not this host's.
    pub fn bind(self, addr: SocketAddr) -> Result<Server, BindError> {
        let listener = TcpListener::bind(addr).map_err(|error| BindError::new(addr, error))?;
        let local = listener.local_addr().map_err(|error| BindError::new(addr, error))?;
        Ok(self.listen(listener, local))
    }

    /// Takes a socket that listens already, such as one handed over by a service manager.
    ///
    /// # Errors
    /// When the socket has no local address.
    pub fn listener(self, listener: TcpListener) -> io::Result<Server> {
        let local = listener.local_addr()?;
        Ok(self.listen(listener, local))
    }

    fn listen(self, listener: TcpListener, local: SocketAddr) -> Server {
        let stats = Arc::new(Stats::new(self.routes.iter().map(|route| route.path.clone())));
        let scrapes = self.limits.scrapes.min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            routes: self.routes,
            limits: self.limits,
            stats,
            scrapes: Arc::new(Semaphore::new(scrapes)),
            room: Arc::default(),
            pool: Pool::new(),
            on_request: self.on_request,
        };
        Server { listener, local, shared: Arc::new(shared) }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("routes", &self.routes)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A server that listens; [`serve`](Self::serve) answers.
#[must_use]
pub struct Server {
    listener: TcpListener,
    local: SocketAddr,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("local_addr", &self.local).finish_non_exhaustive()
    }
}

impl Server {
    /// Begins a server.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens, with the port that the kernel chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The live counters, which outlive the server.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        self.shared.stats.clone()
    }

    /// Answers until `shutdown` is ready, then closes the listening socket and idle connections, gives open requests
    /// [`Limits::drain`] to end, and closes the rest. Returns what was counted.
    ///
    /// Works on every flavour of Tokio runtime with I/O and time enabled; dropping the future closes everything.
    ///
    /// # Errors
    /// When the runtime refuses the socket. Nothing that a peer does ends the server.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<StatsSnapshot, ServeError> {
        let Self { listener, local, shared } = self;
        let listener = listener
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(listener))
            .map_err(|source| ServeError { addr: local, source })?;
        let (stop, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        let places = Arc::new(Semaphore::new(shared.limits.connections.min(Semaphore::MAX_PERMITS)));
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if let Ok(place) = places.clone().try_acquire_owned() {
                        let open = Open::new(&shared.stats, place);
                        connections.spawn(connection(shared.clone(), stream, peer, stopped.clone(), open));
                    } else if shared.room.make(&shared.stats, false) {
                        let (shared, places, stopped) = (shared.clone(), places.clone(), stopped.clone());
                        connections.spawn(async move {
                            // Without a place the stream is closed: that takes a victim that does not go within a second.
                            let Some(place) = room::handed_over(places).await else { return };
                            let open = Open::new(&shared.stats, place);
                            connection(shared, stream, peer, stopped, open).await;
                        });
                    } else {
                        shared.stats.refused(Refusal::Connections);
                        if let Ok(place) = turned_away.clone().try_acquire_owned() {
                            connections.spawn(turn_away(shared.stats.clone(), stream, place));
                        }
                    }
                }
                Err(error) => {
                    // One connection's trouble passes at once; a lack of descriptors or memory would spin.
                    tracing::debug!(%error, "failed to accept a connection");
                    if !concerns_one_connection(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop(listener);
        drop(stopped);
        drop(stop);
        drain(&mut connections, &shared).await;
        Ok(shared.stats.snapshot())
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn drain(connections: &mut JoinSet<()>, shared: &Shared) {
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(shared.limits.drain, ended).await.is_err() {
        for _ in 0..connections.len() {
            shared.stats.refused(Refusal::Drain);
        }
        connections.shutdown().await;
    }
}

/// One open connection: a place and its count.
struct Open {
    stats: Arc<Stats>,
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(stats: &Arc<Stats>, place: OwnedSemaphorePermit) -> Self {
        stats.connection_opened();
        Self { stats: stats.clone(), _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stats.connection_closed();
    }
}

async fn connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    mut stopped: watch::Receiver<()>,
    _open: Open,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let clock = Arc::new(Clock::new(shared.limits.clone()));
    let _stay = shared.room.enter(clock.clone());
    let socket = Socket::new(stream, clock.clone(), shared.stats.clone());
    let stats = shared.stats.clone();
    let header_bytes = shared.limits.header_bytes.max(HEADER_BYTES_MIN);
    let service = hyper::service::service_fn(|request| {
        let (shared, clock) = (shared.clone(), clock.clone());
        async move { Ok::<_, Infallible>(shared.serve(request, peer, &clock).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        // The socket has the deadlines: hyper's would be one for waiting and reading together.
        .header_read_timeout(None)
        // `nc` and other simple clients close their side when they have asked.
        .half_close(true)
        .max_header_size(header_bytes)
        // Also the bound of what is buffered for writing before the next piece is asked for.
        .max_buf_size(header_bytes)
        .serve_connection(TokioIo::new(socket), service);
    let mut serving = pin!(serving);
    let outcome = tokio::select! {
        outcome = &mut serving => outcome,
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = clock.displaced() => return,
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %peer, "a connection ended early");
        if error.is_parse_too_large() {
            stats.refused(Refusal::HeadersTooLarge);
            stats.responded(None, 431);
        } else if error.is_parse() {
            stats.refused(Refusal::Malformed);
            stats.responded(None, 400);
        }
    }
}

/// Tells a connection past the limit that it came too late.
async fn turn_away(stats: Arc<Stats>, mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let talk = async {
        // An answer before the question would confuse some clients.
        let _ = stream.read(&mut [0; 4096]).await?;
        stream.write_all(TOO_MANY_CONNECTIONS).await?;
        stats.responded(None, 503);
        stats.wrote(TOO_MANY_CONNECTIONS.len());
        stream.shutdown().await
    };
    if let Ok(Err(error)) = tokio::time::timeout(LINGER, talk).await {
        tracing::debug!(%error, "failed to turn a connection away politely");
    }
}
