//! What fuzzing calls: one function per parser of the engine's bytes; each panics where a promise is broken.
//!
//! The parsers read lazily, field by field. Against them stands `serde_json::Value`, which reads everything: the same
//! document, written again from a `Value`, must mean the same.

mod numbers;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collector_core::{ContainerId, Engine, EngineInfo};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::{self, Reading};
use crate::framing::{Piece, Splitter};
use crate::json::{Faults, Object};
use crate::read::{self, ApiVersion, Owner, Seen};
use crate::{Endpoint, clock, store};

pub use numbers::stats;

/// Small, so that inputs reach it.
const DOCUMENT_BYTES_MAX: usize = 4096;

const OWNER: Owner = Owner { engine: Engine::Docker, uid: None };

/// `GET /events`, cut into documents: wherever reads end, and just as serde_json cuts a stream of objects.
pub fn stream(data: &[u8]) {
    let whole = split(std::iter::once(data));
    for size in [1, 2, 7] {
        assert_eq!(split(data.chunks(size)), whole, "reads of {size} bytes");
    }
    let documents = |pieces: &[Piece]| {
        pieces.iter().all(|piece| match piece {
            Piece::Document(bytes) => bytes.len() <= DOCUMENT_BYTES_MAX && bytes.first() == Some(&b'{'),
            Piece::Junk => true,
        })
    };
    assert!(documents(&whole));
    let Ok(text) = std::str::from_utf8(data) else { return };
    let stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let Ok(expected) = stream.collect::<Result<Vec<_>, _>>() else { return };
    let small = |raw: &&RawValue| raw.get().starts_with('{') && raw.get().len() <= DOCUMENT_BYTES_MAX;
    if expected.iter().all(small) {
        let expected: Vec<_> =
            expected.iter().map(|raw| Piece::Document(raw.get().as_bytes().to_vec())).collect();
        assert_eq!(whole, expected);
    }
}

fn split<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Vec<Piece> {
    let mut splitter = Splitter::new(DOCUMENT_BYTES_MAX);
    let mut pieces = Vec::new();
    for read in reads {
        splitter.push(read, |piece| pieces.push(piece));
    }
    pieces
}

/// One document of `GET /events`.
pub fn event(data: &[u8]) {
    let reading = event::read(data);
    let text = String::from_utf8_lossy(data);
    let Some(value) = whole(&text) else { return };
    assert_eq!(event::read(value.to_string().as_bytes()), reading, "{text}");
    let Reading::Event(event) = reading else { return };
    let word = |pointer| value.pointer(pointer).and_then(Value::as_str).filter(|word| !word.is_empty());
    assert_eq!(Some(event.id.as_str()), word("/Actor/ID").or_else(|| word("/id")));
    assert!(!event.name.is_some_and(|name| name.starts_with('/')));
    for (name, label) in &event.labels {
        let attribute = value["Actor"]["Attributes"].get(name).and_then(Value::as_str);
        assert_eq!(attribute, Some(label.as_str()), "{name}");
    }
}

/// `GET /containers/json`.
pub fn list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(list) = read::list(text, OWNER) else { return };
    list.containers.iter().for_each(plausible);
    let Some(value) = whole(text) else { return };
    let again = read::list(&value.to_string(), OWNER).unwrap_or_default();
    assert_eq!(again.containers, list.containers, "{text}");
    let entries = value.as_array().map_or(0, Vec::len);
    assert_eq!(list.containers.len() as u64 + list.nameless, entries as u64);
}

/// `GET /libpod/containers/json`: the pods of Podman's containers.
pub fn pods(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let pods = read::pods(text);
    let Some(value) = whole(text) else { return };
    assert_eq!(read::pods(&value.to_string()), pods, "{text}");
    let entries = value.as_array().map_or(&[][..], Vec::as_slice);
    let names = |entry: &Value| {
        let word = |key: &str| entry[key].as_str().filter(|word| !word.is_empty()).map(str::to_owned);
        Some((word("Id")?, word("PodName")?))
    };
    for (id, pod) in &pods {
        let of_it = |(other, name): (String, String)| other == id.as_str() && *name == **pod;
        assert!(entries.iter().filter_map(names).any(of_it), "{id} {pod}");
    }
}

/// Podman's `containers.json`.
pub fn store(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let owner = Owner { engine: Engine::Podman, uid: Some(1000) };
    let listed = store::listed(text, owner);
    for container in &listed {
        let id = container.id.as_str();
        // It becomes part of a path.
        assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id:?}");
        assert!(container.name.as_deref().is_none_or(|name| !name.is_empty()));
        assert_eq!(container.uid, Some(1000));
    }
    let Some(value) = whole(text) else { return };
    assert_eq!(store::listed(&value.to_string(), owner), listed, "{text}");
}

/// `GET /containers/{id}/json`.
pub fn inspect(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let asked = ContainerId::new("asked");
    let Some(seen) = read::inspect(text, &asked, OWNER) else { return };
    plausible(&seen);
    let container = &seen.container;
    assert_eq!(container.id, asked);
    assert!(!(container.state.has_processes() && container.exit_code.is_some()), "{text}");
    assert!(container.pid.is_none_or(|pid| pid > 0 && container.state.has_processes()), "{text}");
    let Some(value) = whole(text) else { return };
    assert_eq!(read::inspect(&value.to_string(), &asked, OWNER), Some(seen), "{text}");
}

/// What holds of every container that was read.
fn plausible(seen: &Seen) {
    let container = &seen.container;
    assert!(!container.id.as_str().is_empty());
    let bare = |name: &str| !name.is_empty() && !name.starts_with('/');
    assert!(container.name.as_deref().is_none_or(bare), "{container:?}");
    for time in [container.created_at, container.started_at, container.finished_at].into_iter().flatten() {
        assert!(time >= UNIX_EPOCH, "{container:?}");
    }
}

/// `GET /version` and `GET /info`.
pub fn about(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let all = |text: &str| {
        let mut engine = EngineInfo::default();
        read::info(text, &mut engine);
        let version = read::version(text);
        (format!("{engine:?}"), format!("{version:?}"), version.api_min)
    };
    let read = all(text);
    let api = ApiVersion::negotiate(ApiVersion::parse(text), read.2);
    assert_eq!(ApiVersion::parse(&api.to_string()), Some(api));
    if let Some(value) = whole(text) {
        assert_eq!(all(&value.to_string()), read, "{text}");
    }
}

/// Times of inspects, and the ages in the list's words.
pub fn times(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(age) = clock::age_below(text) {
        assert!(age >= Duration::from_secs(1), "{text:?}");
    }
    if let Some(time) = clock::rfc3339(text)
        && let Some(written) = utc(time)
    {
        assert_eq!(clock::rfc3339(&written), Some(time), "{text:?} is {written}");
    }
}

/// The time as RFC 3339, found by counting years and months; `None` past the year 9999.
fn utc(time: SystemTime) -> Option<String> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, mut year, mut month) = (since.as_secs() / 86_400, 1970, 1);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let second = since.as_secs() % 86_400;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let nanos = since.subsec_nanos();
    let text = format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z", days + 1);
    (year <= 9999).then_some(text)
}

/// Addresses as `DOCKER_HOST` spells them.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(endpoint) = Endpoint::parse(text) {
        assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint), "{text:?}");
    }
}

/// Everything in the document, if serde_json reads all of it and no name stands twice in an object, where readers may
/// differ.
fn whole(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    (members(&value) == colons(text)).then_some(value)
}

fn members(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(members).sum(),
        Value::Object(fields) => fields.len() + fields.values().map(members).sum::<usize>(),
        _ => 0,
    }
}

/// The colons outside of strings: one for each member of an object.
fn colons(text: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b':' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

/// The reader of single fields: it finds in a document what `Value` finds.
pub fn fields(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (Some(object), Some(value)) = (Object::parse(text), whole(text)) else { return };
    let Some(fields) = value.as_object() else { panic!("an object that is none: {text}") };
    for (key, field) in fields {
        let faults = Faults::default();
        assert_eq!(object.text(key, &faults).as_deref(), field.as_str(), "{key:?} in {text}");
        assert_eq!(object.flag(key, &faults), field.as_bool(), "{key:?} in {text}");
        if field.is_i64() {
            assert_eq!(object.integer(key, &faults), field.as_i64(), "{key:?} in {text}");
        }
        assert_eq!(object.raw(key).is_none(), field.is_null(), "{key:?} in {text}");
    }
}
