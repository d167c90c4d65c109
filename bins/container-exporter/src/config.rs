//! The configuration: from a file, the environment and flags to checked [`Settings`].
//!
//! Each source becomes a [`Layer`] of values that are checked by the types of [`table::KEYS`] and know their place;
//! figment merges the layers; [`parsed::Parsed`] is what it hands over and [`Settings`] what the program runs on.
//! Everything that is wrong in any source is collected, so that one try shows all of it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::{Figment, Profile, Provider};

mod docs;
mod env;
mod file;
mod kind;
mod layer;
mod otlp;
mod parse;
mod parsed;
mod problem;
pub(crate) mod settings;
mod show;
mod suggest;
mod table;
#[cfg(test)]
mod tests;
mod traces;

pub(crate) use docs::{default_file, markdown};
use kind::Value;
use layer::Layer;
pub(crate) use problem::{ConfigError, Origin, Problem};
pub(crate) use settings::Settings;
pub(crate) use show::show;
use table::{KEYS, Key, Preset};

/// The commented default file, which is the first source of every run.
const DEFAULT_FILE: &str = include_str!("../default-config.toml");

/// What the configuration is made from.
#[derive(Debug, Default, Clone)]
pub(crate) struct Inputs {
    /// The file of `--config`.
    pub(crate) file: Option<PathBuf>,
    /// The environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// The flags that set keys.
    pub(crate) flags: Vec<FlagValue>,
}

/// A flag that sets a key.
#[derive(Debug, Clone)]
pub(crate) struct FlagValue {
    /// As the table names it.
    pub(crate) flag: &'static str,
    /// As it was typed.
    pub(crate) value: String,
}

/// A value in force, with its place.
#[derive(Clone)]
pub(crate) struct Effective {
    key: &'static Key,
    /// `None` where nobody set a key that has no default.
    value: Option<Value>,
    origin: Origin,
}

/// As `config show` has it, so that no log of it tells a secret.
impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(show(std::slice::from_ref(self)).trim_end())
    }
}

/// A configuration that is right.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What the program runs on.
    pub(crate) settings: Settings,
    /// One for each key, in the order of the table.
    pub(crate) effective: Vec<Effective>,
}

/// Reads, merges and checks all sources: default file < `--config` file < `OTEL_*` < `CONTAINER_EXPORTER__…` < flags.
///
/// # Errors
/// [`ConfigError`] with everything that is wrong in any of them.
pub(crate) fn load(inputs: &Inputs) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut layers = vec![file::defaults(DEFAULT_FILE, &mut problems)];
    if let Some(path) = &inputs.file {
        layers.extend(read_file(path, &mut problems));
    }
    layers.push(env::otel(&inputs.env, &mut warnings));
    layers.push(env::ours(&inputs.env, &mut problems));
    layers.push(flags(&inputs.flags, &mut problems));
    warnings.extend(env::stray(&inputs.env));

    let merged = layers.iter().fold(Figment::new(), Figment::merge);
    let effective = effective(&merged, &layers);
    let parsed = merged.extract().map_err(|error| problems.push(Problem::general(error.to_string()))).ok();
    // Resolved also when something is wrong already, to tell what does not go together in the same run.
    let settings = parsed.and_then(|parsed| Settings::resolve(parsed, &effective, warnings, &mut problems));
    match settings {
        Some(settings) if problems.is_empty() => Ok(Loaded { settings, effective }),
        _ => Err(ConfigError { problems }),
    }
}

fn read_file(path: &Path, problems: &mut Vec<Problem>) -> Option<Layer> {
    let text = file::read(path).map_err(|problem| problems.push(problem)).ok()?;
    Some(file::parse_at(path, &text, problems))
}

fn flags(flags: &[FlagValue], problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new("flags");
    for FlagValue { flag, value } in flags {
        if let Some(key) = KEYS.iter().find(|key| key.flag == Some(flag)) {
            layer.add(key, key.kind.read_text(value), Origin::Flag(flag), problems);
        }
    }
    layer
}

/// Asks figment, by the tags of the merged values, which layer each key's value is from.
fn effective(merged: &Figment, layers: &[Layer]) -> Vec<Effective> {
    // Once for all keys: `Figment::find_metadata` copies the whole tree each time.
    let data = merged.data().unwrap_or_default();
    let sections = data.get(&Profile::Default);
    let of = |key: &'static Key| {
        let section = sections.and_then(|sections| sections.get(key.section())?.as_dict());
        let tag = section.and_then(|section| section.get(key.name())).map(figment::value::Value::tag);
        let name = tag.and_then(|tag| merged.get_metadata(tag)).map(|metadata| metadata.name.as_ref());
        let layer = layers.iter().find(|layer| Some(layer.name) == name);
        match layer.and_then(|layer| layer.values.get(key.path)) {
            Some((value, origin)) => Effective { key, value: Some(value.clone()), origin: origin.clone() },
            None => Effective { key, value: None, origin: Origin::Default },
        }
    };
    KEYS.iter().map(of).collect()
}

/// The value that documentation shows for a key: its default, or the example of a key that has none.
fn reference_value(key: &Key) -> Option<Value> {
    let text = format!("value = {}", key.example());
    let document = toml::de::DeTable::parse(&text).ok()?;
    let value = document.get_ref().get("value")?;
    key.kind.read_toml(value.get_ref()).ok()
}

/// What changed from one configuration to the next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The keys that take effect on a reload.
    pub(crate) applied: Vec<&'static str>,
    /// The keys that wait for a restart.
    pub(crate) need_restart: Vec<&'static str>,
}

impl Loaded {
    /// Compares with the configuration that a reload has read.
    pub(crate) fn changes(&self, newer: &Self) -> Changes {
        let mut changes = Changes::default();
        for (old, new) in self.effective.iter().zip(&newer.effective) {
            if old.value != new.value {
                let list = if new.key.reload { &mut changes.applied } else { &mut changes.need_restart };
                list.push(new.key.path);
            }
        }
        changes
    }
}

/// Whether the key has a default; the default file shows others as comments.
fn has_default(key: &Key) -> bool {
    matches!(key.default, Preset::Is(_))
}

/// The flags that set keys, as the table names them.
#[cfg(test)]
pub(crate) fn flag_names() -> Vec<&'static str> {
    KEYS.iter().filter_map(|key| key.flag).collect()
}
