//! The exporter's own log: lines on stderr. Those in JSON carry the ids of the trace that they were written in.

use std::fmt;
use std::io::stderr;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, reload};

use super::lines::Lines;
use super::traces::Traces;
use crate::config::settings::{LogFormat, LogLevel, Logging};

/// Changes the level while the program runs.
#[derive(Clone)]
pub(super) struct Log(reload::Handle<LevelFilter, Registry>);

impl Log {
    /// Starts the log, and lets spans be traced where somebody wants them. Only the first call of a process has an effect.
    pub(super) fn start(logging: &Logging, traces: Option<&Traces>) -> Self {
        let (filter, handle) = reload::Layer::new(filter(logging.level));
        let lines = match logging.format {
            LogFormat::Json => {
                let format = tracing_subscriber::fmt::format().json().flatten_event(true);
                tracing_subscriber::fmt::layer()
                    .event_format(WithIds(format))
                    .fmt_fields(JsonFields::new())
                    .with_writer(stderr)
                    .boxed()
            }
            LogFormat::Text => tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_target(false)
                .with_writer(stderr)
                .boxed(),
        };
        let mut layers = vec![lines.with_filter(Lines(filter)).boxed()];
        layers.extend(traces.map(|traces| traces.layer().boxed()));
        _ = tracing_subscriber::registry().with(layers).try_init();
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

/// A format of one JSON object a line, to which the ids are added.
struct WithIds<F>(F);

impl<F, S, N> FormatEvent<S, N> for WithIds<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let current = Context::current();
        let span = current.span();
        let ids = span.span_context();
        if !ids.is_valid() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.trim_end().strip_suffix('}') {
            Some(open) => {
                let (trace, span) = (ids.trace_id(), ids.span_id());
                writeln!(writer, r#"{open},"trace_id":"{trace}","span_id":"{span}"}}"#)
            }
            None => writer.write_str(&line),
        }
    }
}
