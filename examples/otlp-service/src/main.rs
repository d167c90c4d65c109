//! `cargo run -p otlp-service`, then `curl localhost:8080/order` and `curl localhost:9464/metrics`. The collector is
//! at `OTEL_EXPORTER_OTLP_ENDPOINT`, or at `http://localhost:4317`; without one the numbers show that, too.

use otlp_service::{BoxError, Options, Service};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program tells where it listens")]
async fn main() -> Result<(), BoxError> {
    let mut options = Options::default();
    if let Ok(endpoint) = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT") {
        options.endpoint = endpoint;
    }
    let service = Service::start(options).await?;
    println!("http://{}/order, http://{}/metrics", service.addr(), service.metrics_addr());
    tokio::signal::ctrl_c().await?;
    println!("{:?}", service.stop().await?);
    Ok(())
}
