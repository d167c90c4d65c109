//! Sample values, and how each format spells them.

/// A sample's value. Integers and nanoseconds are written exactly, without passing through a float.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// A whole number, such as bytes or a count.
    Integer(u64),
    /// A duration in nanoseconds, written as decimal seconds: 1500000000 is `1.5`, 1 is `0.000000001`.
    Nanoseconds(u64),
    /// Any other number; infinities and NaN are written as `+Inf`, `-Inf`, `NaN`.
    Float(f64),
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Number {
    /// The value as protobuf holds it: nanoseconds become the float nearest to their exact decimal seconds, which is
    /// what Prometheus gets when it parses the text.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Float(value) => value,
            // Both operands are exact, so the one division rounds once.
            Self::Nanoseconds(nanos) if nanos <= 1 << f64::MANTISSA_DIGITS => nanos as f64 / 1e9,
            Self::Nanoseconds(nanos) => {
                let mut text = Vec::with_capacity(24);
                append_nanoseconds(&mut text, nanos);
                std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
            }
        }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// Appends the value as both text formats spell it.
#[inline]
pub(crate) fn append(out: &mut Vec<u8>, number: Number) {
    match number {
        Number::Integer(value) => append_integer(out, value),
        Number::Nanoseconds(nanos) => append_nanoseconds(out, nanos),
        Number::Float(value) => match special(value) {
            Some(word) => out.extend_from_slice(word.as_bytes()),
            None => out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes()),
        },
    }
}

#[inline]
fn append_integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn append_nanoseconds(out: &mut Vec<u8>, nanos: u64) {
    append_integer(out, nanos / NANOS_PER_SECOND);
    let fraction = nanos % NANOS_PER_SECOND;
    if fraction != 0 {
        // With a second added, the leading zeros appear behind the digit 1, which the point then replaces.
        let at = out.len();
        append_integer(out, NANOS_PER_SECOND + fraction);
        out[at] = b'.';
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// The value of an `le` or `quantile` label: `0.005`, `1.0`, `1e+06`, `+Inf`.
///
/// It is part of the series' identity, so it must be the same in every format. In protobuf the bound is a number and
/// Prometheus spells it itself: shortest digits, exponent of two digits below 1e-4 and from 1e6, `.0` behind a whole
/// number. The two text formats therefore use that spelling.
pub(crate) fn bound(value: f64) -> String {
    if let Some(word) = special(value) {
        return word.to_owned();
    }
    if value == 0.0 {
        return "0.0".to_owned();
    }
    // `{:e}` gives the shortest digits that round-trip, as "1.25e-7".
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = value.to_string();
    if plain.contains('.') { plain } else { plain + ".0" }
}
