//! A registry of the `prometheus` crate, served in one call.
//!
//! The server still knows no metric: it asks the registry for its families and `exposition` for the bytes.

use std::net::SocketAddr;

use exposition::registry;
use prometheus::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::{BindError, ServeError};
use crate::stats::StatsSnapshot;
use crate::{Body, Response, Route, Server};

impl Route {
    /// Serves what a registry holds when it is asked, in the format that the request's `Accept` wants.
    ///
    /// The registry is gathered on the server's thread: its collectors should not block.
    pub fn registry(path: impl Into<String>, registry: Registry) -> Self {
        let route = Self::get(path, move |request| {
            let page = registry::page(&registry, request.headers.joined("accept").as_deref());
            if !page.skipped.is_empty() {
                tracing::debug!(skipped = ?page.skipped, "families of the registry left out");
            }
            std::future::ready(Response::new(Body::full(page.body)).content_type(page.content_type))
        });
        route.expensive()
    }
}

/// Serves a registry at `/metrics` in the background of the current Tokio runtime, beside whatever the service
/// answers on addresses of its own. Port 0 takes a free one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let registry = prometheus::Registry::new();
/// let metrics = exporter_toolkit::serve_registry("127.0.0.1:0".parse()?, registry)?;
/// println!("http://{}/metrics", metrics.local_addr());
/// # metrics.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`Builder::bind`](crate::Builder::bind).
///
/// # Panics
/// Outside a Tokio runtime, as `tokio::spawn` does.
pub fn serve_registry(addr: SocketAddr, registry: Registry) -> Result<Background, BindError> {
    let server = Server::builder().route(Route::registry("/metrics", registry)).bind(addr)?;
    let local_addr = server.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.serve(async move {
        // Whoever lets go of the handle wants the server to go on.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
    }));
    Ok(Background { local_addr, stop, task })
}

/// A server that runs in the background: until [`stop`](Self::stop), or until its runtime ends. Dropping this handle
/// changes nothing.
#[derive(Debug)]
pub struct Background {
    local_addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<StatsSnapshot, ServeError>>,
}

impl Background {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Lets open requests end within [`Limits::drain`](crate::Limits::drain), and returns what was counted; `None` if
    /// the runtime ended it before.
    ///
    /// # Errors
    /// When the runtime had refused the socket.
    pub async fn stop(self) -> Result<Option<StatsSnapshot>, ServeError> {
        // A server that is gone already has nothing to stop.
        let _ = self.stop.send(());
        self.task.await.ok().transpose()
    }
}
