//! Which format a scraper gets: `Accept` in, `Content-Type` out.
//!
//! The rules are those of RFC 9110 section 12.5.1 (quality values, wildcards, the more specific range first), over
//! the media types that Prometheus asks for. Whatever the header holds, there is an answer: text 0.0.4 is what
//! every scraper reads, so it is the answer to a missing, malformed or unmeetable `Accept` too.

/// Clauses of one `Accept` that are looked at. Prometheus sends at most six.
const CLAUSES_MAX: usize = 32;

/// Bytes of one `Accept` that are looked at; what stands behind them is ignored.
const ACCEPT_BYTES_MAX: usize = 4096;

/// An exposition format that the [`Encoder`](crate::Encoder) writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// The Prometheus text format, version 0.0.4: `text/plain`.
    #[default]
    Text004,
    /// OpenMetrics text, version 0.0.1. The same lines as 1.0.0.
    OpenMetrics001,
    /// OpenMetrics text, version 1.0.0: what a Prometheus server asks for first.
    OpenMetrics100,
    /// `io.prometheus.client.MetricFamily` messages, each behind its length as a varint.
    Protobuf,
}

impl Format {
    /// The `Content-Type` of a page in this format, without an escaping scheme; see [`Negotiated::content_type`].
    #[must_use]
    pub fn content_type(self) -> &'static str {
        Negotiated { format: self, escaping: None }.content_type()
    }

    /// Whether the format is one of the two versions of OpenMetrics text.
    #[must_use]
    pub fn is_open_metrics(self) -> bool {
        matches!(self, Self::OpenMetrics001 | Self::OpenMetrics100)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// How names outside the legacy character set are written, as the scraper asked for it.
///
/// Every name that this crate writes is inside that set, where these three schemes change nothing; so each can be
/// promised. The fourth, `dots`, doubles the underscores of every name and is not spoken: a scraper that asks for it
/// is told `underscores`, which is what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Escaping {
    /// `escaping=underscores`: other characters become underscores.
    Underscores,
    /// `escaping=values`: names with other characters are written as `U__…` with code points.
    Values,
    /// `escaping=allow-utf-8`: names are written as they are.
    AllowUtf8,
}

/// The outcome of [`negotiate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Negotiated {
    /// The format to encode with.
    pub format: Format,
    /// The escaping scheme to name in the answer; `None` if the scraper named none (Prometheus before 3.0).
    pub escaping: Option<Escaping>,
}

/// One media type with its four endings; hyper wants `'static` header values.
macro_rules! content_type {
    ($escaping:expr, $base:literal) => {
        match $escaping {
            None => $base,
            Some(Escaping::Underscores) => concat!($base, "; escaping=underscores"),
            Some(Escaping::Values) => concat!($base, "; escaping=values"),
            Some(Escaping::AllowUtf8) => concat!($base, "; escaping=allow-utf-8"),
        }
    };
}

impl Negotiated {
    /// The `Content-Type` of the answer. Prometheus 3 refuses a page without one, or with one it does not know.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self.format {
            Format::Text004 => content_type!(self.escaping, "text/plain; version=0.0.4; charset=utf-8"),
            Format::OpenMetrics001 => {
                content_type!(self.escaping, "application/openmetrics-text; version=0.0.1; charset=utf-8")
            }
            Format::OpenMetrics100 => {
                content_type!(self.escaping, "application/openmetrics-text; version=1.0.0; charset=utf-8")
            }
            Format::Protobuf => content_type!(
                self.escaping,
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            ),
        }
    }
}

/// Chooses the format for an `Accept` header (several headers joined by commas, as HTTP allows).
///
/// The highest quality value wins; at the same value a media type beats a wildcard, then the first one named wins.
/// A clause with an unknown version, encoding or a malformed quality value is passed over.
///
/// ```
/// use exposition::{Format, negotiate};
///
/// let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2";
/// let answer = negotiate(Some(accept));
/// assert_eq!(answer.format, Format::OpenMetrics100);
/// assert_eq!(answer.content_type(), "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8");
/// assert_eq!(negotiate(None).format, Format::Text004);
/// ```
#[must_use]
pub fn negotiate(accept: Option<&str>) -> Negotiated {
    let accept = accept.unwrap_or_default();
    let mut end = accept.len().min(ACCEPT_BYTES_MAX);
    while !accept.is_char_boundary(end) {
        end -= 1;
    }
    let clauses = || split_unquoted(&accept[..end], b',').take(CLAUSES_MAX).filter_map(Clause::parse);

    let refused = clauses()
        .filter(|clause| clause.quality == 0)
        .filter_map(|clause| match clause.range {
            Range::Exact(format) => Some(format.bit()),
            Range::Text | Range::Application | Range::Any => None,
        })
        .fold(0, |bits, bit| bits | bit);

    let mut best: Option<((u16, u8), Negotiated)> = None;
    for clause in clauses().filter(|clause| clause.quality > 0) {
        let rank = (clause.quality, clause.range.specificity());
        let better = best.is_none_or(|(so_far, _)| rank > so_far);
        if let (true, Some(format)) = (better, clause.range.pick(refused)) {
            best = Some((rank, Negotiated { format, escaping: clause.escaping }));
        }
    }
    best.map_or_else(Negotiated::default, |(_, negotiated)| negotiated)
}

/// What one clause of `Accept` covers.
#[derive(Clone, Copy)]
enum Range {
    Exact(Format),
    /// `text/*`
    Text,
    /// `application/*`
    Application,
    /// `*/*`
    Any,
}

impl Range {
    fn specificity(self) -> u8 {
        match self {
            Self::Exact(_) => 2,
            Self::Text | Self::Application => 1,
            Self::Any => 0,
        }
    }

    /// The first format of this range that no `q=0` clause refuses. Text is offered first: a client that says
    /// `*/*` is a browser, curl, or an old scraper.
    fn pick(self, refused: u8) -> Option<Format> {
        let offered: &[Format] = match self {
            Self::Exact(format) => return Some(format),
            Self::Text => &[Format::Text004],
            Self::Application => &[Format::OpenMetrics100, Format::OpenMetrics001, Format::Protobuf],
            Self::Any => &[Format::Text004, Format::OpenMetrics100, Format::OpenMetrics001, Format::Protobuf],
        };
        offered.iter().copied().find(|format| refused & format.bit() == 0)
    }
}

/// One clause of `Accept` that names something we speak.
struct Clause {
    range: Range,
    /// In thousandths, 0 to 1000.
    quality: u16,
    escaping: Option<Escaping>,
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = split_unquoted(text, b';');
        let media_type = parts.next()?.trim().to_ascii_lowercase();
        let (mut version, mut proto, mut encoding, mut escaping) = (None, None, None, None);
        let mut quality = 1000;
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => quality = parse_quality(value)?,
                "version" => version = Some(value),
                "proto" => proto = Some(value),
                "encoding" => encoding = Some(value),
                "escaping" => escaping = parse_escaping(value),
                _ => {}
            }
        }
        let range = match media_type.as_str() {
            "*/*" => Range::Any,
            "text/*" => Range::Text,
            "application/*" => Range::Application,
            "text/plain" => match version {
                None | Some("0.0.4") => Range::Exact(Format::Text004),
                Some(_) => return None,
            },
            "application/openmetrics-text" => match version {
                None | Some("1.0.0") => Range::Exact(Format::OpenMetrics100),
                Some("0.0.1") => Range::Exact(Format::OpenMetrics001),
                Some(_) => return None,
            },
            "application/vnd.google.protobuf" => match (proto, encoding) {
                (Some("io.prometheus.client.MetricFamily"), Some("delimited")) => {
                    Range::Exact(Format::Protobuf)
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { range, quality, escaping })
    }
}

/// A quality value in thousandths: `0`, `1`, `0.25`; further digits than three are cut. `None` if it is none.
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(3)
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

fn parse_escaping(text: &str) -> Option<Escaping> {
    match text {
        "underscores" | "dots" => Some(Escaping::Underscores),
        "values" => Some(Escaping::Values),
        "allow-utf-8" => Some(Escaping::AllowUtf8),
        _ => None,
    }
}

/// Splits at `separator`, but not inside a quoted string (RFC 9110 section 5.6.4).
fn split_unquoted(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = current.bytes().position(|byte| {
            if escaped {
                escaped = false;
            } else {
                match byte {
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    _ => return byte == separator && !quoted,
                }
            }
            false
        });
        rest = end.map(|end| &current[end + 1..]);
        Some(end.map_or(current, |end| &current[..end]))
    })
}
