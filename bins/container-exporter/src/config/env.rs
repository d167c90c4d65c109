//! Reads environment variables into layers: OpenTelemetry's where they map to keys, and ours by the types of the keys.

use std::ffi::{OsStr, OsString};

use super::file::unknown_key;
use super::kind::{Kind, Mismatch, Value};
use super::layer::{Layer, wrong_value};
use super::problem::{Origin, Problem};
use super::table::{ENV_PREFIX, KEYS, Key};

/// Reads the `OTEL_*` variables that mean a key.
///
/// A value that cannot be used is left out with a warning, as the OpenTelemetry specification asks: the variables are
/// often set for a whole fleet. An empty one counts as unset.
pub(crate) fn otel(env: &[(OsString, OsString)], warnings: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new("OTEL_* variables");
    for key in KEYS {
        for name in key.otel {
            let Some((_, value)) = env.iter().find(|(known, _)| known == name) else { continue };
            if value.is_empty() {
                continue;
            }
            let read = utf8(value).and_then(|text| match key.kind {
                Kind::Seconds { .. } => milliseconds(&key.kind, text),
                _ => key.kind.read_text(text),
            });
            match read {
                Ok(value) => {
                    layer.values.insert(key.path, (value, Origin::Otel(name)));
                }
                // One for all signals means several keys.
                Err(_) if warnings.iter().any(|known| known.origin == Some(Origin::Otel(name))) => {}
                Err(mismatch) => warnings.push(wrong_value(key, &mismatch, Origin::Otel(name))),
            }
        }
    }
    layer
}

/// The specification counts every time in whole milliseconds.
fn milliseconds(kind: &Kind, text: &str) -> Result<Value, Mismatch> {
    match text.trim().parse::<u32>() {
        Ok(number) => kind.read_text(&format!("{number}ms")),
        Err(_) => Err(Mismatch {
            found: format!("{text:?}"),
            why: Some("the variable counts milliseconds, in whole numbers".to_owned()),
        }),
    }
}

/// Reads the `CONTAINER_EXPORTER__SECTION__KEY` variables.
pub(crate) fn ours(env: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new("environment");
    let mut named: Vec<_> = env
        .iter()
        .filter_map(|(name, value)| {
            let name = name.to_string_lossy();
            let path = name.strip_prefix(ENV_PREFIX)?.to_ascii_lowercase().replace("__", ".");
            Some((name.to_string(), path, value))
        })
        .collect();
    named.sort();
    for (name, path, value) in named {
        let origin = Origin::Env(name.escape_debug().to_string());
        match Key::find(&path) {
            Some(key) => {
                let read = utf8(value).and_then(|text| key.kind.read_text(text));
                layer.add(key, read, origin, problems);
            }
            None => problems.push(Problem::at(origin, unknown_key(&path, Key::env_name))),
        }
    }
    layer
}

fn utf8(value: &OsStr) -> Result<&str, Mismatch> {
    value.to_str().ok_or_else(|| Mismatch { found: "bytes that are not UTF-8".to_owned(), why: None })
}

/// One warning about all variables that look like ours but have a single underscore after the prefix.
pub(crate) fn stray(env: &[(OsString, OsString)]) -> Option<Problem> {
    let prefix = ENV_PREFIX.trim_end_matches("__");
    let mut names: Vec<_> = env
        .iter()
        .map(|(name, _)| name.to_string_lossy())
        .filter(|name| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_') && !rest.starts_with("__"))
        })
        .collect();
    names.sort();
    let first = names.first()?;
    // A setting with an underscore too few is told apart from what Kubernetes injects.
    let meant = names.iter().find_map(|name| {
        let rest = name.strip_prefix(prefix)?.trim_start_matches('_');
        KEYS.iter().find(|key| rest.eq_ignore_ascii_case(&key.path.replace('.', "_"))).map(Key::env_name)
    });
    let others = match names.len() {
        1 => String::new(),
        count => format!(" and {} more like it", count - 1),
    };
    let hint = match meant {
        Some(name) => format!("settings have two underscores: {name}"),
        None => {
            "Kubernetes sets such variables for a Service of this name (enableServiceLinks: false stops it)"
                .to_owned()
        }
    };
    Some(Problem::general(format!("ignored {}{others}; {hint}", first.escape_debug())))
}
