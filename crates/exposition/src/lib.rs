//! The Prometheus exposition formats: text 0.0.4, OpenMetrics 1.0.0 and delimited protobuf, written fast and negotiated by Accept.
//!
//! ```
//! use exposition::{Encoder, Family, Kind, LabelBlock, Number, negotiate};
//!
//! let answer = negotiate(Some("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
//! let web = LabelBlock::new(&[("name", "web"), ("image", "nginx:1.29")])?;
//! let disk = LabelBlock::new(&[("device", "8:0")])?;
//!
//! let mut page = Encoder::new(answer.format);
//! page.family(&Family::new("container_fs_reads_bytes_total", "Bytes read.", Kind::Counter).with_unit("bytes"))?;
//! page.sample(&[&web, &disk], Number::Integer(4096), None);
//! page.finish();
//!
//! assert_eq!(answer.content_type(), "text/plain; version=0.0.4; charset=utf-8");
//! assert_eq!(
//!     String::from_utf8(page.take())?,
//!     "# HELP container_fs_reads_bytes_total Bytes read.\n\
//!      ## TYPE container_fs_reads_bytes_total counter\n\
//!      container_fs_reads_bytes_total{name=\"web\",image=\"nginx:1.29\",device=\"8:0\"} 4096\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! - [`negotiate`]: what the scraper accepts → a [`Format`] and the `Content-Type` of the answer.
//! - [`LabelBlock`]: a label set that is escaped once and copied into every sample; [`PackedLabels`]: those of thousands.
//! - [`Encoder`]: takes a [`Family`] and its samples, hands out bytes as they come. It keeps off a page what makes
//!   Prometheus refuse it whole: a second description of a metric, a unit that the name does not end in, an
//!   OpenMetrics counter without `_total`, one label name twice in a series, a page without its end.
//! - [`Number`]: values that are exact where the source is.
//! - With the feature `registry`, the module `registry` writes what a registry of the `prometheus` crate gathers.
//!
//! # Why this shape
//!
//! An exporter of containers writes the same few label sets under some hundred names, every fifteen seconds. A client
//! library keeps a value object per series and escapes its labels at each scrape; here a sample is the family's name,
//! a ready block and an integer, three copies, and no page is held as a whole.
//!
//! # What is absent
//!
//! Timestamps of samples (Prometheus advises against them), `_created` lines (they become series of their own where no
//! flag is set; start times travel in protobuf), exemplars, native histograms, names outside the legacy character set
//! (Prometheus 2 refuses them), text 1.0.0 and OpenMetrics 2.0.

mod encoder;
mod escape;
mod family;
mod label;
mod name;
mod negotiate;
mod number;
mod protobuf;
#[cfg(feature = "registry")]
pub mod registry;
mod text;
mod wire;

pub use encoder::{CHUNK_BYTES, Encoder};
pub use family::{Family, FamilyError, Histogram, Kind, Summary};
pub use label::{LabelBlock, LabelError, Labels, PackedLabels};
pub use name::{
    is_label_name, is_metric_name, is_reserved_label_name, is_structural_label_name, lossy,
    sanitize_label_name, sanitize_metric_name,
};
pub use negotiate::{Escaping, Format, Negotiated, negotiate};
pub use number::Number;

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
