//! The exporter's own log: lines on stderr.

use std::io::stderr;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::settings::{LogFormat, LogLevel, Logging};

/// Changes the level while the program runs.
#[derive(Clone)]
pub(super) struct Log(reload::Handle<LevelFilter, Registry>);

impl Log {
    /// Starts the log. Only the first call of a process has an effect.
    pub(super) fn start(logging: &Logging) -> Self {
        let (filter, handle) = reload::Layer::new(filter(logging.level));
        let lines = match logging.format {
            LogFormat::Json => {
                tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(stderr).boxed()
            }
            LogFormat::Text => tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_target(false)
                .with_writer(stderr)
                .boxed(),
        };
        _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
        Self(handle)
    }

    /// Sets the level.
    pub(super) fn set_level(&self, level: LogLevel) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::error!(%error, "failed to change the log level");
        }
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
