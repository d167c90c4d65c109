//! What fuzzing calls: a function panics where the parser breaks a promise.

use crate::{Limits, Query};

/// The query string of a request: what is read, written again, is read as the same.
pub fn query(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let limits = Limits::default();
    let Ok(query) = Query::parse(raw, &limits) else { return };
    assert!(query.len() <= limits.query_pairs && raw.len() <= limits.query_bytes);
    let pair = |(name, value): (&str, &str)| format!("{}={}", escaped(name), escaped(value));
    let written: Vec<String> = query.iter().map(pair).collect();
    // Escapes are three times as long.
    let roomy = Limits { query_bytes: limits.query_bytes * 4, ..limits };
    assert_eq!(Query::parse(&written.join("&"), &roomy).ok().as_ref(), Some(&query), "{raw:?}");
    for (name, value) in query.iter() {
        assert!(query.get_all(name).any(|other| other == value));
    }
}

/// Every byte as `%XX`, which has one meaning only.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
