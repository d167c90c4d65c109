//! A registry is served in one call, in the format that is asked for.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use exporter_toolkit::{Route, Server, serve_registry};
use prometheus::{IntCounter, Registry};

/// The answer to one request, headers and all.
async fn get(addr: SocketAddr, path: &str, accept: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    let talk = move || {
        let mut stream = TcpStream::connect(addr).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.expect("an answer")
}

fn orders() -> (Registry, IntCounter) {
    let (registry, orders) = (Registry::new(), IntCounter::new("orders_total", "Orders.").expect("a name"));
    registry.register(Box::new(orders.clone())).expect("an empty registry");
    (registry, orders)
}

#[tokio::test]
async fn one_call_serves_a_registry() {
    let (registry, orders) = orders();
    let metrics = serve_registry("127.0.0.1:0".parse().expect("an address"), registry).expect("a free port");
    let addr = metrics.local_addr();
    let answer = get(addr, "/metrics", "text/plain").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\norders_total 0.0\n"), "{answer}");
    orders.inc();
    let answer = get(addr, "/metrics", "application/openmetrics-text;version=1.0.0").await;
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.contains("\norders_total 1.0\n") && answer.ends_with("# EOF\n"), "{answer}");
    let answer = get(addr, "/", "*/*").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("/metrics"), "{answer}");

    let second = serve_registry(addr, Registry::new()).expect_err("the port is taken").to_string();
    assert!(second.contains(&addr.to_string()), "{second}");
    let counted = metrics.stop().await.expect("a runtime").expect("it ran");
    assert_eq!(counted.connections_open, 0);
    assert!(TcpStream::connect(addr).is_err(), "it does not listen any more");
}

#[tokio::test]
async fn a_handle_that_is_let_go_stops_nothing() {
    let (registry, _orders) = orders();
    let metrics = serve_registry("127.0.0.1:0".parse().expect("an address"), registry).expect("a free port");
    let addr = metrics.local_addr();
    drop(metrics);
    tokio::task::yield_now().await;
    assert!(get(addr, "/metrics", "*/*").await.contains("orders_total"));
}

#[tokio::test]
async fn a_registry_is_a_route_among_others() {
    let (registry, _orders) = orders();
    let server = Server::builder()
        .route(Route::registry("/internal/metrics", registry))
        .get("/livez", async |_| exporter_toolkit::Response::text("alive\n"))
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let addr = server.local_addr();
    let serving = tokio::spawn(server.serve(std::future::pending()));
    assert!(get(addr, "/internal/metrics", "*/*").await.contains("orders_total"));
    assert!(get(addr, "/livez", "*/*").await.contains("alive"));
    serving.abort();
}
