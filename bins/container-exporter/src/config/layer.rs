//! One source of values, before the sources are merged: each value checked by its key's kind, with its place.

use std::collections::BTreeMap;

use figment::value::{Dict, Empty, Map, Value as FigmentValue};
use figment::{Metadata, Profile, Provider};

use super::kind::{Kind, Mismatch, Value};
use super::problem::{Origin, Problem};
use super::table::Key;

/// What one source says.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Names the layer in figment; unique.
    pub(crate) name: &'static str,
    /// By the key's path.
    pub(crate) values: BTreeMap<&'static str, (Value, Origin)>,
}

impl Layer {
    /// A source that says nothing yet.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, values: BTreeMap::new() }
    }

    /// Adds a value, or the problem that its kind has with it.
    pub(crate) fn add(
        &mut self,
        key: &'static Key,
        read: Result<Value, Mismatch>,
        origin: Origin,
        problems: &mut Vec<Problem>,
    ) {
        match read {
            Ok(value) => {
                self.values.insert(key.path, (value, origin));
            }
            Err(mismatch) => problems.push(wrong_value(key, &mismatch, origin)),
        }
    }
}

/// Says what a key expects, what it got, and what to write there instead.
pub(crate) fn wrong_value(key: &Key, mismatch: &Mismatch, origin: Origin) -> Problem {
    let Key { path, kind, .. } = key;
    let secret = key.secret || (matches!(kind, Kind::Url) && mismatch.found.contains('@'));
    let found = if secret { "a value that is not shown here" } else { &mismatch.found };
    let why = mismatch.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let text = || {
        let text = super::reference_value(key).map(|value| value.to_text()).unwrap_or_default();
        // The default of most lists and tables is empty, which shows nobody how to fill one.
        match kind {
            Kind::List(_) if text.is_empty() => "ITEM,ITEM".to_owned(),
            Kind::Map if text.is_empty() => "NAME=VALUE,NAME=VALUE".to_owned(),
            _ => text,
        }
    };
    let advice = match &origin {
        Origin::Env(name) => format!("write for example `{name}={}`", text()),
        Origin::Flag(flag) => format!("write for example `{flag} {}`", text()),
        Origin::Otel(_) => "the variable is ignored".to_owned(),
        Origin::Default | Origin::File { .. } => {
            format!("write for example `{} = {}`", key.name(), key.example())
        }
    };
    Problem::at(origin, format!("`{path}` expects {}, found {found}{why}; {advice}", kind.expects()))
}

/// Hands the values to figment, which merges the layers and says of each value whose it is.
impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut sections = Dict::new();
        for (path, (value, _)) in &self.values {
            let (section, name) = path.split_once('.').unwrap_or(("", path));
            let section =
                sections.entry(section.to_owned()).or_insert_with(|| FigmentValue::from(Dict::new()));
            if let FigmentValue::Dict(_, section) = section {
                section.insert(name.to_owned(), to_figment(value));
            }
        }
        Ok(Map::from([(Profile::Default, sections)]))
    }
}

fn to_figment(value: &Value) -> FigmentValue {
    match value {
        Value::Bool(flag) => (*flag).into(),
        Value::Integer(number) => (*number).into(),
        Value::Number(number) => (*number).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.clone().into(),
        // As a list of pairs, because figment merges dictionaries: headers from two sources would mix.
        Value::Map(pairs) if pairs.is_empty() => Vec::<Empty>::new().into(),
        Value::Map(pairs) => {
            pairs.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect::<Vec<_>>().into()
        }
    }
}
