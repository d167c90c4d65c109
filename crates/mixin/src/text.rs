//! Sentences of alerts: a template for Prometheus, and what it becomes for labels and a value that are known.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::render::Rendered;

/// How a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// A share of 1 as a percentage with up to four digits.
    Percent,
    /// A whole number.
    Count,
    /// Two digits after the point.
    Number,
    /// Bytes with a binary prefix.
    Bytes,
}

impl Shown {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "percent" => Self::Percent,
            "count" => Self::Count,
            "number" => Self::Number,
            "bytes" => Self::Bytes,
            _ => return None,
        })
    }

    const fn template(self) -> &'static str {
        match self {
            Self::Percent => "{{ $value | humanizePercentage }}",
            Self::Count => r#"{{ $value | printf "%.0f" }}"#,
            Self::Number => r#"{{ $value | printf "%.2f" }}"#,
            Self::Bytes => "{{ $value | humanize1024 }}B",
        }
    }

    fn filled(self, value: f64) -> String {
        match self {
            Self::Percent => format!("{}%", four_digits(value * 100.0)),
            Self::Count => format!("{value:.0}"),
            Self::Number => format!("{value:.2}"),
            Self::Bytes => {
                let mut value = value;
                let mut prefix = "";
                for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
                    if value.abs() < 1024.0 {
                        break;
                    }
                    value /= 1024.0;
                    prefix = next;
                }
                format!("{}{prefix}B", four_digits(value))
            }
        }
    }
}

/// `%.4g` of Go.
fn four_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.3e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..4).contains(&exponent) {
        let places = usize::try_from(3 - exponent).unwrap_or(0);
        trimmed(&format!("{value:.places$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
    }
}

/// A piece of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Words(String),
    Label(String),
    /// As a part of a link.
    LabelOfLink(String),
    Value(Shown),
}

/// A sentence with `{label}`, `{label:link}` (escaped, for a link) and `{value:percent}` (or `count`, `number`, `bytes`) in it.
/// Labels stand with their native names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence(Vec<Part>);

impl Sentence {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`Error::Template`] where a brace is not closed or a value's form is unknown.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::Template(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let end = start + rest[start..].find('}').ok_or_else(wrong)?;
            if start > 0 {
                parts.push(Part::Words(rest[..start].to_owned()));
            }
            parts.push(match rest[start + 1..end].split_once(':') {
                None => Part::Label(rest[start + 1..end].to_owned()),
                Some(("value", form)) => Part::Value(Shown::parse(form).ok_or_else(wrong)?),
                Some((label, "link")) => Part::LabelOfLink(label.to_owned()),
                Some(_) => return Err(wrong()),
            });
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Words(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Whether the value or a label stands in it.
    #[must_use]
    pub fn tells_which(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::Words(_)))
    }

    /// As an annotation of a rule, in Go's template language.
    ///
    /// # Errors
    ///
    /// Where a label is none of the expression's, or the profile has none for it.
    pub fn annotation(&self, of: &Rendered) -> Result<String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Words(words) => out.push_str(words),
                Part::Label(label) => {
                    let _ = write!(out, "{{{{ $labels.{} }}}}", of.label(label)?);
                }
                Part::LabelOfLink(label) => {
                    let _ = write!(out, "{{{{ $labels.{} | urlquery }}}}", of.label(label)?);
                }
                Part::Value(shown) => out.push_str(shown.template()),
            }
        }
        Ok(out)
    }

    /// What the annotation becomes for these labels (by their native names) and this value.
    #[must_use]
    pub fn filled(&self, labels: &BTreeMap<String, String>, value: f64) -> String {
        let of = |label: &String| labels.get(label).map_or("", String::as_str);
        self.0
            .iter()
            .map(|part| match part {
                Part::Words(words) => words.clone(),
                Part::Label(label) => of(label).to_owned(),
                Part::LabelOfLink(label) => escaped(of(label)),
                Part::Value(shown) => shown.filled(value),
            })
            .collect()
    }
}

/// As `urlquery` of Go escapes it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_up_to_four_digits() {
        for (value, expect) in [
            (0.0, "0"),
            (93.75, "93.75"),
            (100.0, "100"),
            (0.5, "0.5"),
            (1234.4, "1234"),
            (9999.6, "1e+04"),
            (12345.0, "1.234e+04"),
            (0.000_012_345, "1.234e-05"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(four_digits(value), expect, "{value}");
        }
    }

    #[test]
    fn a_sentence_is_filled_as_prometheus_would() {
        let sentence = Sentence::parse("{container_name} on {instance:link}: {value:percent} {value:bytes}")
            .expect("parses");
        let labels = [("container_name", "web"), ("instance", "a b:1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(sentence.filled(&labels, 1.5), "web on a+b%3A1: 150% 1.5B");
        assert!(sentence.tells_which());
        assert!(!Sentence::parse("nothing").expect("parses").tells_which());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(Sentence::parse("{container_name").is_err());
        assert!(Sentence::parse("{value:percents}").is_err());
        assert!(Sentence::parse("{instance:upper}").is_err());
    }
}
