//! A service that adds the host's containers to its own HTTP server: `cargo run -p examples --bin own-service`.

use std::{error::Error, sync::Arc};

use collector_core::{Collector, Groups, Inventory, KernelOptions, KernelSampler, Options, Request};
use exporter_toolkit::{Body, Response, Route, Server};
use sink_prometheus::{PageRequest, PrometheusSink};
use source_docker::DockerInventory;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let engine: Arc<dyn Inventory> = Arc::new(DockerInventory::new(source_docker::Options::default()));
    let kernel = Arc::new(KernelSampler::start(&KernelOptions::default())?);
    let collector = Collector::start(Options::default(), vec![engine], kernel, Box::new(|_| {}));
    let sink = Arc::new(PrometheusSink::new(sink_prometheus::Options::default()));

    let containers = Route::get("/containers", move |request| {
        let (collector, sink) = (collector.clone(), Arc::clone(&sink));
        async move {
            let snapshot = collector.collect(Request::new(Groups::all())).await;
            let accept = request.headers.joined("accept");
            match sink.page(&snapshot, &PageRequest { accept: accept.as_deref(), query: &[] }) {
                Ok(page) => Response::new(Body::chunks(page.chunks)).content_type(page.content_type),
                Err(error) => Response::text(error.to_string()),
            }
        }
    });
    let server = Server::builder().route(containers.expensive()).bind("127.0.0.1:9180".parse()?)?;
    server.serve(std::future::pending()).await?;
    Ok(())
}
