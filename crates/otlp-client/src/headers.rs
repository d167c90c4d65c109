//! The headers that a person wants on every request. Their values are secrets.

use std::fmt;

use http::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// The most headers of one client.
const HEADERS_MAX: usize = 64;
/// What stands for a value wherever headers are shown.
const HIDDEN: &str = "<hidden>";

/// Headers for every request, such as `authorization`. However they are shown, by `Debug`, `Display` or
/// `Serialize`, only their names are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

/// Why headers cannot be used; says nothing of their values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadersError {
    /// An entry has no `=`.
    #[error("entry {0} has no \"=\"; entries are written name=value, with commas between")]
    NoEquals(usize),
    /// A name is none of a header.
    #[error("{0:?} is no name of a header")]
    Name(String),
    /// A value holds what no header may, such as a line end.
    #[error("the value of {0:?} holds characters that no header may hold")]
    Value(String),
    /// The client sets this one itself.
    #[error("{0:?} is set by the client itself; leave it out")]
    Reserved(String),
    /// More than 64 headers.
    #[error("there are more than {HEADERS_MAX} headers")]
    TooMany,
}

impl Headers {
    /// Reads the value of `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,name=value` as in W3C Baggage, without its
    /// properties: a `;` belongs to the value. Names and values are percent-decoded and stripped of white space; a `%`
    /// that begins no escape stands for itself, and so does every `=` but an entry's first. Of several
    /// values for one name the last holds.
    ///
    /// # Errors
    ///
    /// An entry is no header.
    pub fn parse(text: &str) -> Result<Self, HeadersError> {
        let mut headers = Self::default();
        for (at, entry) in text.split(',').enumerate() {
            let entry = entry.trim();
            if entry.is_empty() {
                continue;
            }
            let (name, value) = entry.split_once('=').ok_or(HeadersError::NoEquals(at + 1))?;
            headers.insert(&percent_decoded(name.trim()), &percent_decoded(value.trim()))?;
        }
        Ok(headers)
    }

    /// Takes names and values as they are, say from a table of a configuration file.
    ///
    /// # Errors
    ///
    /// A pair is no header.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, HeadersError> {
        let mut headers = Self::default();
        for (name, value) in pairs {
            headers.insert(name.as_bytes(), value.as_bytes())?;
        }
        Ok(headers)
    }

    /// The names, in the order in which they were given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    fn insert(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadersError> {
        let shown = || String::from_utf8_lossy(name).chars().take(60).collect::<String>();
        let parsed = HeaderName::from_bytes(name).map_err(|_| HeadersError::Name(shown()))?;
        if is_reserved(parsed.as_str()) {
            return Err(HeadersError::Reserved(shown()));
        }
        let mut value = HeaderValue::from_bytes(value).map_err(|_| HeadersError::Value(shown()))?;
        value.set_sensitive(true);
        if let Some((_, known)) = self.0.iter_mut().find(|(known, _)| *known == parsed) {
            *known = value;
        } else if self.0.len() == HEADERS_MAX {
            return Err(HeadersError::TooMany);
        } else {
            self.0.push((parsed, value));
        }
        Ok(())
    }
}

/// What describes the request itself: a person who sets it breaks the request.
fn is_reserved(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.contains(&name) || name.starts_with("grpc-")
}

pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names().enumerate() {
            write!(f, "{}{name}={HIDDEN}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.names().map(|name| (name, HIDDEN))).finish()
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for name in self.names() {
            map.serialize_entry(name, HIDDEN)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Vec<u8>)>, HeadersError> {
        let headers = Headers::parse(text)?;
        Ok(headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    #[track_caller]
    fn check(text: &str, expect: &[(&str, &str)]) {
        let expect: Vec<_> =
            expect.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        assert_eq!(read(text), Ok(expect), "{text}");
    }

    #[test]
    fn the_variables_format_is_read_as_the_specification_has_it() {
        check("", &[]);
        check(" , ,", &[]);
        check("api-key=key,other-config=value", &[("api-key", "key"), ("other-config", "value")]);
        check(" Api-Key = key ,b=", &[("api-key", "key"), ("b", "")]);
        check("authorization=Basic%20dXNlcjpwdw==", &[("authorization", "Basic dXNlcjpwdw==")]);
        check("a=b;c=d", &[("a", "b;c=d")]);
        check("a=1%2C2,b=50%,c=%zz", &[("a", "1,2"), ("b", "50%"), ("c", "%zz")]);
        check("a=%C3%BC,A=x+y", &[("a", "x+y")]);
    }

    #[test]
    fn what_is_no_header_is_refused_without_showing_a_value() {
        let check = |text: &str, expect: &str| {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(expect), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        };
        check("a=s3cret,s3cret", "entry 2 has no");
        check("a b=s3cret", "\"a b\" is no name");
        check("=s3cret", "is no name");
        check("a=s3cret%0d%0ab", "the value of \"a\"");
        check("Content-Type=s3cret", "set by the client itself");
        check("grpc-timeout=s3cret", "set by the client itself");
        let many: Vec<String> = (0..=HEADERS_MAX).map(|n| format!("h{n}=s3cret")).collect();
        check(&many.join(","), "more than 64");
    }

    #[test]
    fn values_are_hidden_however_they_are_shown() {
        let headers = Headers::parse("authorization=s3cret,x-scope=s3cret2").expect("headers");
        let shown = format!(
            "{headers} {headers:?} {headers:#?} {}",
            serde_json::to_string(&headers).expect("serialisable")
        );
        assert!(!shown.contains("s3cret"), "{shown}");
        assert_eq!(headers.to_string(), "authorization=<hidden>,x-scope=<hidden>");
        assert_eq!(
            serde_json::to_string(&headers).expect("serialisable"),
            r#"{"authorization":"<hidden>","x-scope":"<hidden>"}"#
        );
    }

    fn escaped(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = Headers::parse(&text);
        }

        #[test]
        fn what_is_written_is_read(pairs in prop::collection::btree_map("x-[a-z0-9_-]{1,20}", "[ -~\u{e4}]{0,40}", 0..20)) {
            let text: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value.as_bytes()))).collect();
            let expect: Vec<_> = pairs.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
            prop_assert_eq!(read(&text.join(",")), Ok(expect));
        }

        /// A slow, plain decoder: escapes are found by splitting.
        #[test]
        fn decoding_agrees_with_a_plainer_way(text in "[%0-9a-gA-G ~]{0,40}") {
            let mut parts = text.split('%');
            let mut plain = parts.next().unwrap_or_default().as_bytes().to_vec();
            for part in parts {
                match part.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
                    Some(hex) => {
                        plain.push(u8::from_str_radix(hex, 16).expect("hex"));
                        plain.extend_from_slice(&part.as_bytes()[2..]);
                    }
                    None => {
                        plain.push(b'%');
                        plain.extend_from_slice(part.as_bytes());
                    }
                }
            }
            prop_assert_eq!(percent_decoded(&text), plain);
        }
    }
}
