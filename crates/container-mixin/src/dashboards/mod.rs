//! The dashboards, in four layers: the fleet, a host, a container, the exporter; beside them one for Compose projects and one for a
//! service's spans.
//!
//! A dashboard is a function of the profile that gives a [`Dashboard`]; [`ALL`] lists them. A metric that is new in the catalogue is
//! shown without a line here: [`Panel::of_metric`](mixin::dashboard::Panel::of_metric) makes its panel from its row.

mod compose;
mod container;
mod exporter;
mod fleet;
mod host;
mod otlp;
mod parts;

use mixin::Profile;
use mixin::dashboard::{Built, Dashboard};

use crate::context::Context;
use crate::error::{Error, Result};

/// The tag by which the dashboards find each other.
pub const TAG: &str = "container-exporter";

/// A dashboard and the name of its file.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Entry {
    /// The file's name in `dashboards/`.
    pub file: &'static str,
    /// Makes it.
    pub make: fn(Profile) -> Dashboard,
}

/// Every dashboard, in the order in which a person on call goes down.
pub const ALL: &[Entry] = &[
    Entry { file: "fleet.json", make: fleet::dashboard },
    Entry { file: "host.json", make: host::dashboard },
    Entry { file: "container.json", make: container::dashboard },
    Entry { file: "compose.json", make: compose::dashboard },
    Entry { file: "exporter.json", make: exporter::dashboard },
    Entry { file: "otlp-service-overview.json", make: otlp::dashboard },
];

/// What links know the dashboards by.
pub mod uid {
    /// The fleet: all hosts and containers.
    pub const FLEET: &str = "containers-fleet";
    /// One host.
    pub const HOST: &str = "containers-host";
    /// One container.
    pub const CONTAINER: &str = "containers-container";
    /// The services of Compose projects.
    pub const COMPOSE: &str = "containers-compose";
    /// The exporter itself.
    pub const EXPORTER: &str = "containers-exporter";
    /// A service's spans and their export.
    pub const OTLP: &str = "otlp-service-overview";
}

/// Adds the files of all dashboards of which the profile can answer anything.
pub(crate) fn files(context: &mut Context<'_>) -> Result<()> {
    for entry in ALL {
        let built = build(entry, context.profile())?;
        for (what, error) in &built.left_out {
            context.leave_out(what, error.clone())?;
        }
        if built.panels > 0 {
            context.asked_for(&built.metrics);
            context.file(format!("dashboards/{}", entry.file), built.json);
        }
    }
    Ok(())
}

/// One dashboard under a profile.
///
/// # Errors
///
/// A mistake in it.
pub fn build(entry: &Entry, profile: Profile) -> Result<Built> {
    (entry.make)(profile)
        .build(profile)
        .map_err(|mistake| Error::Expression { what: mistake.place, source: mistake.source })
}
