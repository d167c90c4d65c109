//! The two text formats: text 0.0.4 and OpenMetrics.

use std::collections::HashSet;

use crate::escape;
use crate::family::{Family, Histogram, Kind, Summary};
use crate::label::{LabelBlock, Labels};
use crate::number::{self, Number};

/// Room for `"} "`, the longest value (24 characters of a float) and the line feed.
const VALUE_BYTES_MAX: usize = 32;

/// Writes the lines of one family after another.
#[derive(Debug, Default)]
pub(crate) struct TextWriter {
    open_metrics: bool,
    /// HELP, TYPE and UNIT of the open family.
    header: Vec<u8>,
    /// The name that stands in those lines.
    described_as: String,
    /// The open family's name and `{`.
    prefix: Vec<u8>,
    /// Metric family names that a TYPE line of an OpenMetrics page has named.
    described: HashSet<Box<str>>,
}

impl TextWriter {
    pub(crate) fn new(open_metrics: bool) -> Self {
        Self { open_metrics, ..Self::default() }
    }

    pub(crate) fn open(&mut self, family: &Family<'_>) {
        self.prefix.clear();
        self.prefix.extend_from_slice(family.name.as_bytes());
        self.prefix.push(b'{');
        self.header.clear();
        if self.open_metrics {
            self.describe_open_metrics(family);
        } else {
            let kind = match family.kind {
                Kind::Unknown => "untyped",
                kind => kind_word(kind),
            };
            self.describe(family.name, family.help, kind);
        }
    }

    /// OpenMetrics names a counter's family without `_total`. Where that name is another family's (Go programs have
    /// a gauge `x` beside a counter `x_total`), the counter is described under its full name, as `unknown`; and a
    /// family whose name is described already gets no second description.
    fn describe_open_metrics(&mut self, family: &Family<'_>) {
        let base = family.base_name();
        let counter = family.kind == Kind::Counter;
        let (name, kind) = if counter && (base == family.name || self.described.contains(base)) {
            (family.name, "unknown")
        } else {
            (base, kind_word(family.kind))
        };
        self.described_as.clear();
        self.described_as.push_str(name);
        if self.described.contains(name) {
            return;
        }
        self.describe(name, family.help, kind);
        if let Some(unit) = family.unit_of(name) {
            for piece in ["# UNIT ", name, " ", unit, "\n"] {
                self.header.extend_from_slice(piece.as_bytes());
            }
        }
    }

    fn describe(&mut self, name: &str, help: &str, kind: &str) {
        if !help.is_empty() {
            for piece in ["# HELP ", name, " "] {
                self.header.extend_from_slice(piece.as_bytes());
            }
            escape::help(&mut self.header, help, self.open_metrics);
            self.header.push(b'\n');
        }
        for piece in ["# TYPE ", name, " ", kind, "\n"] {
            self.header.extend_from_slice(piece.as_bytes());
        }
    }

    /// Writes the header of the open family; called before its first sample.
    pub(crate) fn start(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
        if self.open_metrics {
            self.described.insert(self.described_as.as_str().into());
        }
    }

    /// One line: the name, the blocks between braces, the value.
    #[inline]
    pub(crate) fn sample<'a>(
        &self,
        out: &mut Vec<u8>,
        labels: impl Iterator<Item = Labels<'a>> + Clone,
        value: Number,
    ) {
        // One check of the room for the whole line instead of one that may grow the page at each piece.
        let bytes: usize = labels.clone().map(|block| block.as_str().len() + 1).sum();
        out.reserve(self.prefix.len() + bytes + VALUE_BYTES_MAX);
        out.extend_from_slice(&self.prefix);
        let mut blocks = labels.map(Labels::as_str).filter(|text| !text.is_empty());
        if let Some(first) = blocks.next() {
            out.extend_from_slice(first.as_bytes());
            for text in blocks {
                out.push(b',');
                out.extend_from_slice(text.as_bytes());
            }
            out.extend_from_slice(b"} ");
        } else {
            out.pop();
            out.push(b' ');
        }
        number::append(out, value);
        out.push(b'\n');
    }

    pub(crate) fn histogram(&self, out: &mut Vec<u8>, labels: &[&LabelBlock], histogram: &Histogram<'_>) {
        for (upper, count) in histogram.closed_buckets() {
            self.child(out, "_bucket", labels, Some(("le", upper)), Number::Integer(count));
        }
        self.child(out, "_sum", labels, None, Number::Float(histogram.sum));
        self.child(out, "_count", labels, None, Number::Integer(histogram.count));
    }

    pub(crate) fn summary(&self, out: &mut Vec<u8>, labels: &[&LabelBlock], summary: &Summary<'_>) {
        for &(quantile, value) in summary.quantiles {
            self.child(out, "", labels, Some(("quantile", quantile)), Number::Float(value));
        }
        self.child(out, "_sum", labels, None, Number::Float(summary.sum));
        self.child(out, "_count", labels, None, Number::Integer(summary.count));
    }

    /// A line of a histogram or summary: the name with a suffix, and the bound as one more label.
    fn child(
        &self,
        out: &mut Vec<u8>,
        suffix: &str,
        labels: &[&LabelBlock],
        extra: Option<(&str, f64)>,
        value: Number,
    ) {
        out.extend_from_slice(&self.prefix[..self.prefix.len() - 1]);
        out.extend_from_slice(suffix.as_bytes());
        let extra = extra.map(|(name, number)| format!("{name}=\"{}\"", number::bound(number)));
        let blocks = labels.iter().map(|block| block.as_str()).chain(extra.as_deref());
        let mut separator = b'{';
        for block in blocks.filter(|block| !block.is_empty()) {
            out.push(separator);
            out.extend_from_slice(block.as_bytes());
            separator = b',';
        }
        out.extend_from_slice(if separator == b',' { b"} " } else { b" " });
        number::append(out, value);
        out.push(b'\n');
    }

    /// The end of the page: `# EOF`, without which Prometheus refuses an OpenMetrics page as cut off.
    pub(crate) fn finish(&self, out: &mut Vec<u8>) {
        if self.open_metrics {
            out.extend_from_slice(b"# EOF\n");
        }
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
        Kind::Unknown => "unknown",
    }
}
