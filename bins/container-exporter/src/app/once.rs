//! `once`: one snapshot on stdout.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use collector_core::{Groups, Request as Collect, Snapshot};
use sink_prometheus::PageRequest;

use super::{AppError, build, json, log::Log, serve::is_settled, table};
use crate::cli::SnapshotFormat;
use crate::config::settings::{LogLevel, Logging, Settings};

/// Between the two readings of a percentage: the least that a window may be, and a little.
const BETWEEN: Duration = Duration::from_millis(1000);
/// How long to wait for the engines' first word: one that is not there says so at once, one that is busy takes its time.
const FIRST_LIST: Duration = Duration::from_secs(10);

/// Prints one snapshot.
pub(super) async fn once(format: SnapshotFormat, settings: &Settings) -> Result<(), AppError> {
    // Only what hinders: the result is on stdout, and nobody waits for news.
    let level = match settings.logging.level {
        LogLevel::Info => LogLevel::Warn,
        level => level,
    };
    Log::start(&Logging { level, format: settings.logging.format }, None);
    let parts = build::parts(settings)?;
    let settled = parts.collector.wait_until(|collector| is_settled(&collector.sources()));
    _ = tokio::time::timeout(FIRST_LIST, settled).await;
    let groups = settings.metrics.groups;
    let collect = |groups: Groups| {
        parts.collector.collect(Collect::new(groups).with_root(true).deadline(settings.metrics.timeout))
    };
    // The first reading is what the second one's percentages are measured from.
    collect(groups).await;
    tokio::time::sleep(BETWEEN).await;
    let snapshot = collect(groups).await;
    match format {
        SnapshotFormat::Table => super::print(&table::render(&snapshot)),
        SnapshotFormat::Json => print_chunks(json::chunks(snapshot)),
        SnapshotFormat::Prometheus => print_page(settings, &snapshot),
    }
}

fn print_page(settings: &Settings, snapshot: &Arc<Snapshot>) -> Result<(), AppError> {
    let sink = build::sink(settings, &build::registry(None)?.0);
    match sink.page(snapshot, &PageRequest::default()) {
        Ok(page) => print_chunks(page.chunks),
        // Without a query there is nothing that could be wrong with it.
        Err(error) => Err(AppError::Unhealthy(error.to_string())),
    }
}

fn print_chunks(chunks: impl Iterator<Item = Vec<u8>>) -> Result<(), AppError> {
    let mut stdout = std::io::stdout().lock();
    for chunk in chunks {
        match stdout.write_all(&chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            result => result.map_err(AppError::Stdout)?,
        }
    }
    stdout.flush().map_err(AppError::Stdout)
}
