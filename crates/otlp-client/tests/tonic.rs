//! The client against gRPC as tonic has it: a receiver that shares nothing with this crate but HTTP/2.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
};
use otlp_client::{Client, Compression, DropReason, Payload, Protocol, Said, StatsSnapshot, Values};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{Code, Request, Response, Status, codec::CompressionEncoding::Gzip, codegen::Service};
use tonic_types::{ErrorDetails, StatusExt as _};

type Answer = Result<ExportMetricsServiceResponse, Status>;

/// A receiver with these answers ready; then it takes everything.
#[derive(Default)]
struct Receiver {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<ExportMetricsServiceRequest>>,
}

struct Handle(Arc<Receiver>);

#[tonic::async_trait]
impl MetricsService for Handle {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.seen.lock().expect("seen").push(request.into_inner());
        let answer = self.0.answers.lock().expect("answers").pop_front();
        answer.unwrap_or_else(|| Ok(ExportMetricsServiceResponse::default())).map(Response::new)
    }
}

/// Serves on loopback; the address.
async fn serve(receiver: &Arc<Receiver>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let service =
        MetricsServiceServer::new(Handle(receiver.clone())).accept_compressed(Gzip).send_compressed(Gzip);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let mut service = service.clone();
                async move { Ok::<_, Infallible>(service.call(request).await.expect("infallible")) }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    endpoint
}

/// Sends the request to a receiver with these answers.
async fn send(
    compression: Compression,
    request: &ExportMetricsServiceRequest,
    answers: impl IntoIterator<Item = Answer>,
) -> (StatsSnapshot, Vec<ExportMetricsServiceRequest>) {
    let receiver = Arc::new(Receiver::default());
    receiver.answers.lock().expect("answers").extend(answers);
    let mut values = Values::default();
    values.endpoint = Some(Said::new(serve(&receiver).await, "the test"));
    values.protocol = Some(Said::new(Protocol::Grpc, "the test"));
    values.compression = Some(Said::new(compression, "the test"));
    let settings = values.resolve().expect("settings").expect("an endpoint");
    let client = Client::start(settings).expect("no files");
    client.submit(Payload { body: request.encode_to_vec().into(), points: 100 });
    let left = client.shutdown(Duration::from_secs(60)).await;
    assert_eq!(left.payloads, 0);
    (client.stats().snapshot(), std::mem::take(&mut receiver.seen.lock().expect("seen")))
}

/// Of about so many metrics.
fn request(metrics: usize) -> ExportMetricsServiceRequest {
    let metric =
        |at| Metric { name: format!("container.metric.{at}"), unit: "By".to_owned(), ..Metric::default() };
    let metrics = (0..metrics).map(metric).collect();
    let scope = ScopeMetrics { metrics, ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

#[tokio::test]
async fn what_is_sent_arrives_plain_and_compressed() {
    for compression in [Compression::None, Compression::Gzip] {
        for size in [0, 1, 50_000] {
            let request = request(size);
            let (stats, seen) = send(compression, &request, []).await;
            assert_eq!((stats.exported, stats.attempts), (100, 1), "{compression} {size}");
            assert!(seen == [request], "{compression} {size}");
        }
    }
}

#[tokio::test]
async fn a_compression_that_the_receiver_does_not_know_is_replaced() {
    let request = request(10);
    let (stats, seen) = send(Compression::Zstd, &request, []).await;
    assert_eq!((stats.exported, stats.attempts), (100, 2));
    assert_eq!(seen, [request]);
}

#[tokio::test]
async fn a_partial_success_is_counted() {
    let partial_success =
        ExportMetricsPartialSuccess { rejected_data_points: 30, error_message: "out of bounds".to_owned() };
    let answer = ExportMetricsServiceResponse { partial_success: Some(partial_success) };
    let (stats, _) = send(Compression::None, &request(1), [Ok(answer)]).await;
    assert_eq!((stats.exported, stats.failed(DropReason::Rejected), stats.attempts), (70, 30, 1));
}

#[tokio::test]
async fn a_retry_info_makes_an_exhausted_receiver_worth_another_try() {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
    let exhausted = Status::with_error_details(Code::ResourceExhausted, "full", details);
    let (stats, seen) = send(Compression::None, &request(1), [Err(exhausted)]).await;
    assert_eq!((stats.exported, seen.len()), (100, 2));

    let exhausted = Status::resource_exhausted("too large");
    let (stats, seen) = send(Compression::None, &request(1), [Err(exhausted)]).await;
    assert_eq!((stats.failed(DropReason::NotRetryable), seen.len()), (100, 1));
}
