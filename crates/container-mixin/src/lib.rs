//! The dashboards, rules and alerts of container-exporter, derived from its catalogue.
//!
//! [`files`] makes them all, as paths and texts; `cargo xtask gen-dashboards` writes them where they belong. Each part is a
//! function in [`PARTS`] that gets a [`Context`] and adds its files to it. [`metric`] turns a row of the catalogue into what
//! expressions are built from.
//!
//! ```
//! use container_mixin::Settings;
//!
//! let output = container_mixin::files(&Settings::default())?;
//! assert!(output.left_out.is_empty(), "every native name is known");
//! # Ok::<(), container_mixin::Error>(())
//! ```

pub mod alerts;
mod context;
pub mod dashboards;
mod error;
pub mod foreign;
pub mod metric;
pub mod profile;
pub mod rules;
mod settings;

pub use context::{Context, File, LeftOut, Output};
pub use error::{Error, Result};
pub use settings::Settings;

/// What adds files of one kind.
pub type Part = fn(&mut Context<'_>) -> Result<()>;

/// Everything that is generated, in the order in which it is written.
pub const PARTS: &[Part] = &[dashboards::files, rules::write, alerts::write];

/// Makes every file.
///
/// # Errors
///
/// A setting that nothing asks for or that cannot be read, or a mistake in an expression, with its panel or alert.
pub fn files(settings: &Settings) -> Result<Output> {
    let mut context = Context::new(settings);
    for part in PARTS {
        part(&mut context)?;
    }
    context.finish()
}
