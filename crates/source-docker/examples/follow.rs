//! Prints what happens to the containers of the local engine.
//!
//! ```text
//! cargo run -p source-docker --example follow [unix:///path/to/docker.sock]
//! ```
#![expect(clippy::print_stdout, reason = "an example that prints")]

use std::{path::Path, sync::Arc, time::Instant};

use collector_core::{Change, Changes, Inventory};
use source_docker::{DockerInventory, Endpoint, Options, discover};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init();
    let mut options = Options::default();
    if let Some(address) = std::env::args().nth(1) {
        options.endpoint = Endpoint::parse(&address)?;
    } else {
        let candidates = discover(&|name| std::env::var(name).ok(), Path::new("/"));
        if let Some(found) = candidates.into_iter().find(|candidate| candidate.exists) {
            options.name = found.name;
            options.endpoint = found.endpoint?;
        }
    }
    let inventory = Arc::new(DockerInventory::new(options));
    let (changes, mut received) = Changes::channel(64);
    let began = Instant::now();
    tokio::spawn(inventory.clone().run(changes));
    while let Some((_, change)) = received.recv().await {
        let at = began.elapsed().as_millis();
        match change {
            Change::Listed(containers) => {
                println!("{at} ms: {} containers", containers.len());
                for container in containers {
                    println!(
                        "  {} {} pid {:?}",
                        container.display_name(),
                        container.state.as_str(),
                        container.pid
                    );
                }
            }
            Change::Upsert(container) => println!(
                "{at} ms: {} is {}, pid {:?}, exit code {:?}",
                container.display_name(),
                container.state.as_str(),
                container.pid,
                container.exit_code
            ),
            other => println!("{at} ms: {other:?}"),
        }
        println!("  {:?}", inventory.counters());
    }
    Ok(())
}
