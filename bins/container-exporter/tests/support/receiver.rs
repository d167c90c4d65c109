//! A receiver of OTLP by both protocols, which takes everything.
#![allow(dead_code, reason = "each test uses some of it")]

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use test_support::PATIENCE;

/// A request that came.
#[derive(Clone)]
pub(crate) struct Seen<M> {
    pub(crate) path: String,
    #[allow(dead_code, reason = "not every test file asks for it")]
    pub(crate) headers: HeaderMap,
    pub(crate) request: M,
}

type Kept<M> = Arc<(Mutex<Vec<Seen<M>>>, Condvar)>;

/// Keeps requests of one kind.
pub(crate) struct Receiver<M> {
    pub(crate) address: SocketAddr,
    seen: Kept<M>,
}

impl<M: Message + Default + Clone + 'static> Receiver<M> {
    /// Keeps what comes to the paths that are wanted; what comes to others is taken, too.
    pub(crate) fn of(is_wanted: fn(&str) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a socket");
        let seen = Kept::<M>::default();
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, kept, is_wanted));
        });
        Self { address, seen }
    }

    /// Waits for what is found among that which came so far; else all that came.
    pub(crate) fn find<T>(&self, mut find: impl FnMut(&[Seen<M>]) -> Option<T>) -> Result<T, Vec<Seen<M>>> {
        let (seen, came) = &*self.seen;
        let mut found = None;
        let (seen, _) = came
            .wait_timeout_while(seen.lock().expect("seen"), PATIENCE, |seen| {
                found = find(seen);
                found.is_none()
            })
            .expect("seen");
        found.ok_or_else(|| seen.clone())
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Seen<M>> {
        self.seen.0.lock().expect("seen").clone()
    }
}

async fn serve<M: Message + Default + 'static>(
    listener: TcpListener,
    seen: Kept<M>,
    is_wanted: fn(&str) -> bool,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    while let Ok((stream, _)) = listener.accept().await {
        let seen = Arc::clone(&seen);
        let service =
            hyper::service::service_fn(move |request| answer(request, Arc::clone(&seen), is_wanted));
        tokio::spawn(async move {
            let connection = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // The exporter is stopped in the middle of what it does.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer<M: Message + Default>(
    request: Request<Incoming>,
    seen: Kept<M>,
    is_wanted: fn(&str) -> bool,
) -> Result<Response<BoxBody<Bytes, std::convert::Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_grpc = head.headers["content-type"] == "application/grpc";
    let message = if is_grpc { body.slice(5..) } else { body };
    let mut plain = Vec::new();
    let encoding = head.headers.get("content-encoding").or(head.headers.get("grpc-encoding"));
    match encoding.map(|encoding| encoding.as_bytes()) {
        Some(b"gzip") => drop(flate2::read::GzDecoder::new(&*message).read_to_end(&mut plain).expect("gzip")),
        _ => plain.extend_from_slice(&message),
    }
    let path = head.uri.path().to_owned();
    if is_wanted(&path) {
        let request = M::decode(&*plain).expect("an export request");
        seen.0.lock().expect("seen").push(Seen { path, headers: head.headers, request });
        seen.1.notify_all();
    }
    if !is_grpc {
        return Ok(Response::new(Full::default().boxed()));
    }
    let status = (http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"));
    let trailers = HeaderMap::from_iter([status]);
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async move { Some(Ok(trailers)) });
    let response = Response::builder().header("content-type", "application/grpc").body(body.boxed());
    Ok(response.expect("a response"))
}
