//! Metric and label names: the legacy character set that every version of Prometheus reads.
//!
//! Prometheus 3 takes any UTF-8 name in quotes; Prometheus 2 refuses the whole page then. So names are kept to
//! `[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics and `[a-zA-Z_][a-zA-Z0-9_]*` for labels.

use std::borrow::Cow;

/// Whether `name` is a metric name that every Prometheus reads: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[must_use]
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, |byte| byte == b':')
}

/// Whether `name` is a label name that every Prometheus reads: `[a-zA-Z_][a-zA-Z0-9_]*`. Reserved names such as
/// `__name__` and `le` have that shape too; see [`is_reserved_label_name`] and [`is_structural_label_name`].
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    is_name(name, |_| false)
}

/// Whether the label name starts with `__`: Prometheus keeps those for itself (`__name__` is the metric's name).
#[must_use]
pub fn is_reserved_label_name(name: &str) -> bool {
    name.starts_with("__")
}

/// Whether the label name means something in histograms or summaries: `le`, `quantile`.
#[must_use]
pub fn is_structural_label_name(name: &str) -> bool {
    matches!(name, "le" | "quantile")
}

/// The nearest legal label name: each other character becomes one `_`, a digit at the start gets a `_` before it,
/// the reserved `__` at the start becomes `_`, and nothing becomes `_`.
///
/// Two names may become one (`a.b` and `a-b`): [`LabelBlock::new`](crate::LabelBlock::new) refuses the second, since
/// Prometheus would refuse the page.
#[must_use]
pub fn sanitize_label_name(name: &str) -> Cow<'_, str> {
    if is_label_name(name) && !is_reserved_label_name(name) {
        return Cow::Borrowed(name);
    }
    let clean = replace_illegal(name, |character| character.is_ascii_alphanumeric());
    let tail = clean.trim_start_matches('_');
    let reserved = clean.len() - tail.len() >= 2;
    Cow::Owned(if reserved { format!("_{tail}") } else { clean })
}

/// The nearest legal metric name: each other character becomes one `_`, a digit at the start gets a `_` before it,
/// and nothing becomes `_`.
#[must_use]
pub fn sanitize_metric_name(name: &str) -> Cow<'_, str> {
    if is_metric_name(name) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(replace_illegal(name, |character| character.is_ascii_alphanumeric() || character == ':'))
}

/// Bytes from outside as text, with U+FFFD for what is not UTF-8: one invalid byte makes Prometheus refuse the page.
#[must_use]
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn is_name(name: &str, also: impl Fn(u8) -> bool) -> bool {
    !name.as_bytes().first().is_none_or(u8::is_ascii_digit)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || also(byte))
}

fn replace_illegal(name: &str, legal: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(name.len() + 1);
    if name.as_bytes().first().is_none_or(u8::is_ascii_digit) {
        clean.push('_');
    }
    clean.extend(name.chars().map(|character| if legal(character) { character } else { '_' }));
    clean
}
