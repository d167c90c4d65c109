//! `config show`: every effective value and where it came from, itself readable as a configuration file.

use super::Effective;
use super::kind::{Kind, Value};
use super::parse::without_secrets;

/// The longest value that still gets its origin in the common column.
const COLUMN_MAX: usize = 60;

/// One line for each key: TOML with the origin as a comment. Secrets are masked.
pub(crate) fn show(effective: &[Effective]) -> String {
    let lines: Vec<_> = effective
        .iter()
        .map(|Effective { key, value, origin }| match value {
            Some(value) => {
                (format!("{} = {}", key.path, shown(value, &key.kind, key.secret)), origin.to_string())
            }
            None => (format!("# {}", key.path), "not set".to_owned()),
        })
        .collect();
    let width =
        lines.iter().map(|(line, _)| line.chars().count()).filter(|n| *n <= COLUMN_MAX).max().unwrap_or(0);
    // An origin holds a path, and a path may hold a line feed, which would end the comment.
    lines.iter().map(|(line, origin)| format!("{line:width$}  # {}\n", origin.escape_debug())).collect()
}

fn shown(value: &Value, kind: &Kind, secret: bool) -> Value {
    match value {
        value if secret => value.masked(),
        Value::Text(url) if matches!(kind, Kind::Url) => Value::Text(without_secrets(url)),
        value => value.clone(),
    }
}
