//! Reads a TOML file into a layer; every problem in it is reported with its line.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::layer::Layer;
use super::problem::{Origin, Problem};
use super::suggest::nearest;
use super::table::{KEYS, Key, SECTIONS};

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text of the file of `--config`.
///
/// # Errors
/// A [`Problem`] that names the path and says why it cannot be read.
pub(crate) fn read(path: &Path) -> Result<String, Problem> {
    let shown = path.display();
    let failed = |why: &dyn std::fmt::Display| {
        Problem::at(
            Origin::Flag("--config"),
            format!("failed to read {shown}: {why}; give the path of a TOML file"),
        )
    };
    // Not by its length in the metadata, which is 0 for a pipe.
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text))
        .map_err(|error| failed(&error))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(&"it is longer than 1 MiB"));
    }
    let text = String::from_utf8(text).map_err(|_| failed(&"it is not UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Where the file's values come from.
#[derive(Debug, Clone)]
enum Place {
    BuiltIn,
    At(Arc<str>),
}

/// Reads the built-in default file.
pub(crate) fn defaults(text: &str, problems: &mut Vec<Problem>) -> Layer {
    parse("default file", text, &Place::BuiltIn, problems)
}

/// Reads the text of the file at `path`; whatever is wrong with it is added to `problems`, whatever is right is used.
pub(crate) fn parse_at(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Layer {
    parse("--config file", text, &Place::At(path.display().to_string().into()), problems)
}

fn parse(name: &'static str, text: &str, place: &Place, problems: &mut Vec<Problem>) -> Layer {
    let origin = |at: usize| match place {
        Place::BuiltIn => Origin::Default,
        Place::At(path) => Origin::File {
            path: Arc::clone(path),
            line: 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count(),
        },
    };
    let mut layer = Layer::new(name);
    let mut found = Vec::new();
    let (document, errors) = DeTable::parse_recoverable(text);
    // What follows a syntax error is guesswork: report the errors of syntax alone.
    if !errors.is_empty() {
        problems.extend(errors.iter().map(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Problem::at(
                origin(at),
                format!("failed to read as TOML: {}", error.message().replace('\n', ", ")),
            )
        }));
        return layer;
    }
    for (section, entries) in document.get_ref() {
        let at = section.span().start;
        let section = section.get_ref().as_ref();
        if !SECTIONS.iter().any(|(known, _)| *known == section) {
            let what = match entries.get_ref() {
                DeValue::Table(_) => unknown_section(section),
                _ => key_without_section(section),
            };
            found.push((at, Problem::at(origin(at), what)));
            continue;
        }
        let DeValue::Table(entries) = entries.get_ref() else {
            let what = format!("`{section}` is a section; write `[{section}]` and its keys below it");
            found.push((at, Problem::at(origin(at), what)));
            continue;
        };
        for (name, value) in entries {
            let at = name.span().start;
            let path = format!("{section}.{}", name.get_ref());
            let mut wrong = Vec::new();
            match Key::find(&path) {
                Some(key) => layer.add(key, key.kind.read_toml(value.get_ref()), origin(at), &mut wrong),
                None => wrong.push(Problem::at(origin(at), unknown_key(&path, |key| key.path.to_owned()))),
            }
            found.extend(wrong.into_iter().map(|problem| (at, problem)));
        }
    }
    // The document is sorted by name; people read from the top.
    found.sort_by_key(|(at, _)| *at);
    problems.extend(found.into_iter().map(|(_, problem)| problem));
    layer
}

/// Says that there is no such section and which might be meant.
fn unknown_section(section: &str) -> String {
    let hint = match nearest(section, SECTIONS.iter().map(|(known, _)| *known)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("the sections are {}", sections()),
    };
    format!("unknown section `{}`; {hint}", section.escape_debug())
}

/// Says that a key stands above all sections and where it belongs.
fn key_without_section(name: &str) -> String {
    let known = nearest(name, KEYS.iter().map(Key::name));
    let hint = match known.and_then(|name| KEYS.iter().find(|key| key.name() == name)) {
        Some(key) => format!("did you mean `{}` in the section `[{}]`?", key.name(), key.section()),
        None => format!("the sections are {}", sections()),
    };
    format!("the key `{}` stands in no section; {hint}", name.escape_debug())
}

fn sections() -> String {
    SECTIONS.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ")
}

/// Says that there is no such key and which might be meant, as `show` spells it in the source at hand.
pub(crate) fn unknown_key(path: &str, show: impl Fn(&Key) -> String) -> String {
    let (section, name) = path.split_once('.').unwrap_or(("", path));
    let in_section = || KEYS.iter().filter(|key| key.section() == section);
    let meant = nearest(name, in_section().map(Key::name))
        .and_then(|name| in_section().find(|key| key.name() == name))
        .or_else(|| KEYS.iter().find(|key| key.name() == name))
        .or_else(|| nearest(path, KEYS.iter().map(|key| key.path)).and_then(Key::find));
    let hint = match meant {
        Some(key) => format!("did you mean `{}`?", show(key)),
        None if in_section().next().is_some() => {
            let names: Vec<_> = in_section().map(Key::name).collect();
            format!("the keys of `{section}` are {}", names.join(", "))
        }
        None => "`container-exporter config show` lists all keys".to_owned(),
    };
    format!("unknown key `{}`; {hint}", path.escape_debug())
}
