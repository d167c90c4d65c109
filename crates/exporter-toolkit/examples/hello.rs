//! A whole exporter: `cargo run -p exporter-toolkit --example hello`, then `curl localhost:9100/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use exporter_toolkit::{Body, Response, Route, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scrapes = Arc::new(AtomicU64::new(0));
    let metrics = move |_| {
        let scrapes = scrapes.clone();
        async move {
            let page = format!("# TYPE hello_scrapes_total counter\nhello_scrapes_total {}\n", {
                scrapes.fetch_add(1, Relaxed) + 1
            });
            Response::new(Body::full(page)).content_type("text/plain; version=0.0.4; charset=utf-8")
        }
    };
    let server = Server::builder()
        .route(Route::get("/metrics", metrics).expensive())
        .bind("127.0.0.1:9100".parse()?)?;
    server.serve(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await?;
    Ok(())
}
