//! Parsers of the three formats for tests, written from the specifications and sharing nothing with the crate. They
//! refuse what makes a Prometheus server refuse a page.

use std::collections::BTreeMap;

pub(crate) mod protobuf;
pub(crate) mod text;

/// Label names and values, sorted by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// What a page says, whatever its format.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Page {
    /// By the name of the metric family as the format writes it.
    pub(crate) families: BTreeMap<String, Described>,
    /// Values as bits, so that NaN equals NaN.
    pub(crate) samples: BTreeMap<(String, Labels), u64>,
    /// Created timestamps in seconds and nanoseconds.
    pub(crate) created: BTreeMap<(String, Labels), (i64, u32)>,
}

/// What a page says about a family.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Described {
    pub(crate) kind: Option<String>,
    pub(crate) help: Option<String>,
    pub(crate) unit: Option<String>,
}

impl Page {
    fn add(&mut self, name: &str, labels: &Labels, value: f64) -> Result<(), String> {
        if !is_metric_name(name) {
            return Err(format!("illegal metric name {name:?}"));
        }
        match self.samples.insert((name.to_owned(), labels.clone()), value.to_bits()) {
            None => Ok(()),
            Some(_) => Err(format!("duplicate series {name} {labels:?}")),
        }
    }

    /// The value of the one sample of that name.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let mut found = self.samples.iter().filter(|((other, _), _)| other == name);
        let (_, bits) = found.next()?;
        found.next().is_none().then(|| f64::from_bits(*bits))
    }
}

fn insert_label(labels: &mut Labels, name: &str, value: String) -> Result<(), String> {
    let legal = is_metric_name(name) && !name.contains(':') && !name.starts_with("__");
    if !legal {
        return Err(format!("illegal label name {name:?}"));
    }
    match labels.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(format!("label {name:?} stands twice in one series")),
    }
}

fn is_metric_name(name: &str) -> bool {
    name.chars().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | ':'))
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
}
