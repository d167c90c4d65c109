//! What a handler gets: method, path, decoded query, headers, peer.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{Limits, Stats};

/// A request whose line and headers were read whole and whose query was decoded. Its body, if any, was thrown away.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// GET or HEAD; other methods never reach a handler.
    pub method: Method,
    /// The path as it was sent, not decoded, without the query.
    pub path: String,
    /// The query's parameters.
    pub query: Query,
    /// The headers.
    pub headers: Headers,
    /// Who asks.
    pub peer: SocketAddr,
    /// The counters of the server that answers, for handlers that export them.
    pub stats: Arc<Stats>,
}

/// The methods that routes answer. A handler may ignore the difference: the server drops the body of a HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
}

/// The headers of a request.
#[derive(Debug, Clone, Default)]
pub struct Headers(pub(crate) http::HeaderMap);

impl Headers {
    /// The first value under this name (any case) that is visible ASCII.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// All values under this name that are visible ASCII, in the order sent.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// All values under this name as one list, as RFC 9110 section 5.3 joins repeated lines; `None` without any.
    #[must_use]
    pub fn joined(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.get_all(name).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Every name (in lower case) and value, as bytes where the value is not ASCII.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

/// The parameters of a query string, percent-decoded, in the order sent; names may repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Every name with its value; `a` without `=` has an empty value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// All values of a parameter, such as `collect[]`.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Whether there is no parameter at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many parameters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn parse(raw: &str, limits: &Limits) -> Result<Self, QueryError> {
        if raw.len() > limits.query_bytes {
            return Err(QueryError::TooLong);
        }
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() == limits.query_pairs {
                return Err(QueryError::TooManyPairs);
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((decode(name)?, decode(value)?));
        }
        Ok(Self(pairs))
    }
}

/// Why a query string is refused; the text is what the client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("query string too long")]
    TooLong,
    #[error("too many query parameters")]
    TooManyPairs,
    #[error("query string has a malformed percent escape or is not UTF-8")]
    Malformed,
}

/// Decodes `%41` and `+` as the application/x-www-form-urlencoded of the WHATWG URL standard does, but refuses what
/// it would leave as it is: a filter that is misread selects the wrong series.
fn decode(text: &str) -> Result<String, QueryError> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return Err(QueryError::Malformed);
                };
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| QueryError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_decode() {
        let check = |raw: &str, expect: Result<&[(&str, &str)], QueryError>| {
            let got = Query::parse(raw, &Limits { query_pairs: 3, query_bytes: 40, ..Limits::default() });
            let expect =
                expect.map(|pairs| Query(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()));
            assert_eq!(got, expect, "{raw:?}");
        };
        check("", Ok(&[]));
        check("&&", Ok(&[]));
        check("a", Ok(&[("a", "")]));
        check("collect[]=cpu&collect%5B%5D=io", Ok(&[("collect[]", "cpu"), ("collect[]", "io")]));
        check("a=b=c&d=", Ok(&[("a", "b=c"), ("d", "")]));
        check("x=a+b%20c%2B%C3%a9", Ok(&[("x", "a b c+é")]));
        check("x=%", Err(QueryError::Malformed));
        check("x=%4", Err(QueryError::Malformed));
        check("x=%zz", Err(QueryError::Malformed));
        check("x=%+1", Err(QueryError::Malformed));
        check("x=%ff", Err(QueryError::Malformed));
        check("a&b&c", Ok(&[("a", ""), ("b", ""), ("c", "")]));
        check("a&b&c&d", Err(QueryError::TooManyPairs));
        check(&"a".repeat(40), Ok(&[(&"a".repeat(40), "")]));
        check(&"a".repeat(41), Err(QueryError::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn what_is_escaped_comes_back(pairs in prop::collection::vec((".{1,8}", ".{0,8}"), 0..6)) {
            let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let raw: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", escape(k), escape(v))).collect();
            prop_assert_eq!(Query::parse(&raw.join("&"), &Limits::default()), Ok(Query(pairs)));
        }

        #[test]
        fn nothing_panics(raw in ".{0,64}") {
            let _ = Query::parse(&raw, &Limits::default());
        }
    }
}
