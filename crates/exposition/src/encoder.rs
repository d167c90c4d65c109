//! The writer of a page.

use std::collections::HashSet;
use std::time::SystemTime;

use crate::family::{Family, FamilyError, Histogram, Kind, Summary};
use crate::label::{LabelBlock, Labels};
use crate::name::is_metric_name;
use crate::negotiate::Format;
use crate::number::Number;
use crate::protobuf::ProtobufWriter;
use crate::text::TextWriter;

/// Bytes at which a caller that sends while it encodes should [`take`](Encoder::take) what is there.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Room behind a full chunk, so that the sample that fills it seldom moves it.
const CHUNK_SLACK_BYTES: usize = 4 * 1024;

/// Writes a page, family by family, in one of the formats.
///
/// Call [`family`](Self::family), then one of the sample methods for each series, and [`finish`](Self::finish) at the
/// end. What is encoded so far can be taken away at any time; in protobuf it grows by whole families. Nothing that is
/// passed in can make a page that Prometheus refuses, one thing apart: writing a series (a name and its labels) or a
/// bucket's bound twice is not noticed here, since remembering every series would cost more than writing it.
///
/// ```
/// use exposition::{Encoder, Family, Format, Kind, LabelBlock, Number};
///
/// let web = LabelBlock::new(&[("name", "web")])?;
/// let mut encoder = Encoder::new(Format::OpenMetrics100);
/// encoder.family(&Family::new("cpu_seconds_total", "CPU time used.", Kind::Counter).with_unit("seconds"))?;
/// encoder.sample(&[&web], Number::Nanoseconds(1_500_000_000), None);
/// encoder.finish();
/// assert_eq!(
///     String::from_utf8(encoder.take())?,
///     "# HELP cpu_seconds CPU time used.\n\
///      ## TYPE cpu_seconds counter\n\
///      ## UNIT cpu_seconds seconds\n\
///      cpu_seconds_total{name=\"web\"} 1.5\n\
///      ## EOF\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    writer: Writer,
    out: Vec<u8>,
    state: State,
    /// Names that the samples of the open family can have.
    names: Vec<Box<str>>,
    /// Names that samples of this page have.
    written: HashSet<Box<str>>,
    refused_samples: u64,
}

#[derive(Debug)]
enum Writer {
    Text(TextWriter),
    Protobuf(ProtobufWriter),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No family is open: samples are refused.
    Closed,
    /// A family is open and has no sample yet.
    Opened(Kind),
    /// The open family has samples.
    Started(Kind),
    Finished,
}

impl Encoder {
    /// An encoder of an empty page.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let writer = match format {
            Format::Protobuf => Writer::Protobuf(ProtobufWriter::default()),
            format => Writer::Text(TextWriter::new(format.is_open_metrics())),
        };
        Self {
            format,
            writer,
            out: Vec::with_capacity(CHUNK_BYTES + CHUNK_SLACK_BYTES),
            state: State::Closed,
            names: Vec::new(),
            written: HashSet::new(),
            refused_samples: 0,
        }
    }

    /// The format of the page.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Begins a family, and ends the one before. It shows on the page with its first sample; without one it leaves
    /// nothing.
    ///
    /// # Errors
    ///
    /// The name is not legal, samples of that name are on the page already, or the page is finished. The samples that
    /// follow are then refused, up to the next family.
    pub fn family(&mut self, family: &Family<'_>) -> Result<(), FamilyError> {
        let name = || family.name.to_owned();
        if self.state == State::Finished {
            return Err(FamilyError::Finished { name: name() });
        }
        self.close_family();
        if !is_metric_name(family.name) {
            return Err(FamilyError::InvalidName { name: name() });
        }
        self.names.clear();
        self.names.extend(family.sample_names().map(String::into_boxed_str));
        if self.names.iter().any(|name| self.written.contains(name)) {
            return Err(FamilyError::Duplicate { name: name() });
        }
        match &mut self.writer {
            Writer::Text(text) => text.open(family),
            Writer::Protobuf(protobuf) => protobuf.open(family),
        }
        self.state = State::Opened(family.kind);
        Ok(())
    }

    /// Writes one sample of a counter, a gauge or an unknown metric, with the labels of all blocks in their order.
    ///
    /// `created` is when a counter began at 0. Only protobuf carries it: as `_created` lines it would become series
    /// of its own on most servers.
    ///
    /// The sample is refused, and counted in [`refused_samples`](Self::refused_samples), if no family is open, if the
    /// family is a histogram or summary, or if a label name stands in two blocks.
    #[inline]
    pub fn sample(&mut self, labels: &[&LabelBlock], value: Number, created: Option<SystemTime>) {
        self.write(labels.iter().map(|block| Labels::from(*block)), value, created);
    }

    /// As [`sample`](Self::sample), with labels that may be from [`PackedLabels`](crate::PackedLabels).
    #[inline]
    pub fn sample_of(&mut self, labels: &[Labels<'_>], value: Number, created: Option<SystemTime>) {
        self.write(labels.iter().copied(), value, created);
    }

    #[inline]
    fn write<'a>(
        &mut self,
        labels: impl Iterator<Item = Labels<'a>> + Clone,
        value: Number,
        created: Option<SystemTime>,
    ) {
        let plain = |kind| matches!(kind, Kind::Counter | Kind::Gauge | Kind::Unknown);
        if !self.admit(any_overlap(labels.clone()), plain) {
            return;
        }
        match &mut self.writer {
            Writer::Text(text) => text.sample(&mut self.out, labels, value),
            Writer::Protobuf(protobuf) => protobuf.sample(labels.map(Labels::block), value, created),
        }
    }

    /// Writes the samples of one histogram; refused if the family is of another kind or a block holds `le`.
    pub fn histogram(
        &mut self,
        labels: &[&LabelBlock],
        histogram: &Histogram<'_>,
        created: Option<SystemTime>,
    ) {
        if !self.admit(clash(labels, "le"), |kind| kind == Kind::Histogram) {
            return;
        }
        match &mut self.writer {
            Writer::Text(text) => text.histogram(&mut self.out, labels, histogram),
            Writer::Protobuf(protobuf) => protobuf.histogram(labels, histogram, created),
        }
    }

    /// Writes the samples of one summary; refused if the family is of another kind or a block holds `quantile`.
    pub fn summary(&mut self, labels: &[&LabelBlock], summary: &Summary<'_>, created: Option<SystemTime>) {
        if !self.admit(clash(labels, "quantile"), |kind| kind == Kind::Summary) {
            return;
        }
        match &mut self.writer {
            Writer::Text(text) => text.summary(&mut self.out, labels, summary),
            Writer::Protobuf(protobuf) => protobuf.summary(labels, summary, created),
        }
    }

    /// Ends the page. What is left is in [`buffer`](Self::buffer); calling it again changes nothing.
    pub fn finish(&mut self) {
        if self.state == State::Finished {
            return;
        }
        self.close_family();
        if let Writer::Text(text) = &self.writer {
            text.finish(&mut self.out);
        }
        self.state = State::Finished;
    }

    /// What is encoded and not yet taken.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        &self.out
    }

    /// Whether [`CHUNK_BYTES`] or more are encoded and not yet taken.
    #[must_use]
    pub fn is_chunk_ready(&self) -> bool {
        self.out.len() >= CHUNK_BYTES
    }

    /// Takes what is encoded; the encoder goes on with a new buffer.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        let next = match self.state {
            State::Finished => Vec::new(),
            _ => Vec::with_capacity(CHUNK_BYTES + CHUNK_SLACK_BYTES),
        };
        std::mem::replace(&mut self.out, next)
    }

    /// Forgets what is encoded, for a caller that has copied [`buffer`](Self::buffer) and wants to keep its memory.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// Samples that were refused so far, each of which would have cost the whole page.
    #[must_use]
    pub fn refused_samples(&self) -> u64 {
        self.refused_samples
    }

    /// Whether the open family takes a sample, of whose labels it is known whether a name stands there twice; writes the family's
    /// header if it is the first.
    #[inline]
    fn admit(&mut self, clash: bool, fits: impl Fn(Kind) -> bool) -> bool {
        let (State::Opened(kind) | State::Started(kind)) = self.state else {
            self.refused_samples += 1;
            return false;
        };
        if clash || !fits(kind) {
            self.refused_samples += 1;
            return false;
        }
        if self.state == State::Opened(kind) {
            self.start_family(kind);
        }
        true
    }

    #[cold]
    fn start_family(&mut self, kind: Kind) {
        if let Writer::Text(text) = &mut self.writer {
            text.start(&mut self.out);
        }
        self.written.extend(self.names.drain(..));
        self.state = State::Started(kind);
    }

    fn close_family(&mut self) {
        if let (State::Started(_), Writer::Protobuf(protobuf)) = (self.state, &mut self.writer) {
            protobuf.close(&mut self.out);
        }
        self.state = State::Closed;
    }
}

/// Whether a label name stands in two of the blocks.
#[inline]
fn any_overlap<'a>(labels: impl Iterator<Item = Labels<'a>> + Clone) -> bool {
    let mut pairs = labels.clone().enumerate();
    pairs.any(|(at, one)| labels.clone().take(at).any(|earlier| earlier.overlaps(one)))
}

/// Whether a label name stands in two of the blocks, or the family's own label in one.
fn clash(labels: &[&LabelBlock], own: &str) -> bool {
    any_overlap(labels.iter().map(|block| Labels::from(*block)))
        || labels.iter().any(|block| block.contains(own))
}
