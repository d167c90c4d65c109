//! Who orders.
#![allow(dead_code, reason = "each test uses some of it")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use opentelemetry_otlp::RetryPolicy;
use otlp_service::{Options, Service};
use test_support::PATIENCE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A free port of loopback.
pub(crate) const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Spans of an order.
pub(crate) const ORDER: usize = 3;

/// A service that exports when it is told to.
pub(crate) fn options(collector: SocketAddr, queue_spans_max: usize) -> Options {
    Options {
        listen: ANY,
        metrics_listen: ANY,
        endpoint: format!("http://{collector}"),
        // Only what the test does ends an export.
        timeout: PATIENCE,
        retry: RetryPolicy::disabled(),
        queue_spans_max,
        batch_delay: Duration::from_secs(3_600),
    }
}

/// Status and body of an answer.
async fn ask(addr: SocketAddr, target: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr).await?;
    // HTTP/1.0: no answer comes in chunks.
    stream.write_all(format!("GET {target} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Ok((status, body.to_owned()))
}

/// The body of what is answered with 200.
pub(crate) async fn get(addr: SocketAddr, target: &str) -> String {
    let (status, body) = ask(addr, target).await.expect("it answers");
    assert_eq!(status, 200, "{target}: {body}");
    body
}

pub(crate) async fn orders(service: &Service, count: usize) {
    for _ in 0..count {
        get(service.addr(), "/order").await;
    }
}
