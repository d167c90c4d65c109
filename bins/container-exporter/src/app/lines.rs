//! What becomes a line of the log. A file of its own, so that the bench measures this filter and no copy of it.

use tracing::{Metadata, subscriber::Interest};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::{Registry, reload};

/// Events of the level. Spans become none, so that nobody makes one that is not traced.
pub(super) struct Lines(pub(super) reload::Layer<LevelFilter, Registry>);

impl Filter<Registry> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, Registry>) -> bool {
        metadata.is_event() && Filter::enabled(&self.0, metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() { Filter::callsite_enabled(&self.0, metadata) } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::max_level_hint(&self.0)
    }
}
