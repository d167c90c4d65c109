//! The shop: three spans for an order, one for whoever waits for the next.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry::trace::{SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_metrics::TaskMonitor;

struct Shop {
    tracer: SdkTracer,
    ordered: Notify,
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, tracer: SdkTracer, connections: TaskMonitor) {
    let shop = Arc::new(Shop { tracer, ordered: Notify::new() });
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                // What fails here concerns a peer that is gone already.
                let Ok((stream, _)) = accepted else { continue };
                let shop = Arc::clone(&shop);
                let service = service_fn(move |request| answer(Arc::clone(&shop), request));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                open.spawn(connections.instrument(connection));
            }
        }
    }
}

async fn answer(shop: Arc<Shop>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let span = shop
        .tracer
        .span_builder("GET")
        .with_kind(SpanKind::Server)
        .with_attributes([KeyValue::new("url.path", path.clone())])
        .start(&shop.tracer);
    let context = Context::new().with_span(span);
    let (status, text) = match path.as_str() {
        "/order" => (StatusCode::OK, order(&shop, &context)),
        "/next" => {
            shop.ordered.notified().await;
            (StatusCode::OK, "ordered\n")
        }
        _ => (StatusCode::NOT_FOUND, "there is /order and /next\n"),
    };
    context.span().set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    // Before the answer leaves: whoever has it finds the span ended.
    context.span().end();
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}

/// Finds the price and keeps the order.
fn order(shop: &Shop, parent: &Context) -> &'static str {
    for (name, kind) in [("price", SpanKind::Internal), ("store", SpanKind::Client)] {
        let builder = shop.tracer.span_builder(name).with_kind(kind);
        parent.clone().with_span(shop.tracer.build_with_context(builder, parent)).span().end();
    }
    shop.ordered.notify_waiters();
    "ordered\n"
}
