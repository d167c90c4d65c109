//! A collector's receiver of traces, on loopback: it takes, fails, keeps waiting, goes away and comes back.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tonic::{Code, Request, Response, Status};

/// What the receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Takes,
    Refuses(Code),
    /// Keeps the request until the mood changes.
    Waits,
}

#[derive(Debug)]
struct Shared {
    mood: watch::Sender<Mood>,
    /// Requests that wait.
    waiting: watch::Sender<usize>,
    spans: Mutex<Vec<Span>>,
    services: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Clone)]
struct Receiver(Arc<Shared>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut mood = self.0.mood.subscribe();
        if *mood.borrow_and_update() == Mood::Waits {
            self.0.waiting.send_modify(|waiting| *waiting += 1);
            mood.wait_for(|mood| *mood != Mood::Waits).await.expect("the sender is ours");
            self.0.waiting.send_modify(|waiting| *waiting -= 1);
        }
        if let Mood::Refuses(code) = *mood.borrow_and_update() {
            return Err(Status::new(code, "the test says so"));
        }
        let resources = request.into_inner().resource_spans;
        let attributes =
            resources.iter().filter_map(|one| one.resource.as_ref()).flat_map(|one| &one.attributes);
        let names =
            attributes.filter(|pair| pair.key == "service.name").filter_map(|pair| pair.value.as_ref());
        let names = names.filter_map(|name| match &name.value {
            Some(Value::StringValue(name)) => Some(name.clone()),
            _ => None,
        });
        self.0.services.lock().expect("unpoisoned").extend(names);
        let spans =
            resources.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
        self.0.spans.lock().expect("unpoisoned").extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The receiver while it listens.
pub(crate) struct StandIn {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl StandIn {
    pub(crate) async fn listen(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            mood: watch::Sender::new(Mood::Takes),
            waiting: watch::Sender::new(0),
            spans: Mutex::default(),
            services: Mutex::default(),
        });
        let service = TraceServiceServer::new(Receiver(Arc::clone(&shared)));
        let accepting = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                open.spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { addr, shared, accepting }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.shared.mood.send_replace(mood);
    }

    /// Returns when a request waits.
    pub(crate) async fn waits(&self) {
        self.shared.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.expect("the sender is ours");
    }

    /// Spans that it took, by name.
    pub(crate) fn taken(&self) -> BTreeMap<String, usize> {
        let mut by_name = BTreeMap::new();
        for span in self.shared.spans.lock().expect("unpoisoned").iter() {
            *by_name.entry(span.name.clone()).or_default() += 1;
        }
        by_name
    }

    /// Names of the services whose spans it took.
    pub(crate) fn services(&self) -> BTreeSet<String> {
        self.shared.services.lock().expect("unpoisoned").clone()
    }

    /// Goes away with every connection; its address, to come back to.
    pub(crate) async fn go_away(self) -> SocketAddr {
        self.accepting.abort();
        let ended = self.accepting.await.expect_err("it does not end by itself");
        assert!(ended.is_cancelled());
        self.addr
    }
}
