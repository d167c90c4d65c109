//! The label policy: from a container's own labels, written by strangers, to label names and values fit for series.
//!
//! A label key may be any text and there may be any number of them; Prometheus wants `[a-zA-Z_][a-zA-Z0-9_]*`, each
//! name once, and a sane amount. The rules, in this order:
//!
//! 1. Keys that are empty or longer than [`MAX_KEY_BYTES`] are dropped.
//! 2. The rest is gone through in the byte order of the keys, so that the outcome does not depend on the order in which
//!    the engine sent them.
//! 3. The name is the prefix and the key, with `_` for every character that is not allowed, and before a leading digit.
//! 4. A name that is reserved (ours, or starting with `__`, which is Prometheus' own) is dropped; so is a name that an
//!    earlier key has claimed.
//! 5. A value above the limit is cut at a character boundary, or dropped with its label: a cut value breaks joins.
//! 6. What is above the limit of labels is dropped.
//!
//! Values are not escaped: that is the format's business. Whatever is cut or dropped is counted.
//!
//! ```
//! use collector_core::labels::LabelPolicy;
//!
//! let policy = LabelPolicy::native();
//! let set = policy.apply([("com.example.env", "prod"), ("name", "mine"), ("com/example/env", "dev")]);
//! assert_eq!(set.labels, [("com_example_env".to_owned(), "prod".to_owned())]);
//! assert_eq!((set.counts.reserved, set.counts.collisions), (1, 1));
//! ```

use std::collections::{BTreeSet, HashSet};

/// The longest key that is considered, in bytes. Kubernetes, the most generous of those that name a limit, allows 317;
/// what is longer is no name. Cutting would make names collide, so longer keys are dropped.
pub const MAX_KEY_BYTES: usize = 512;

/// The names that the exporter's own identity labels use, in any profile.
pub const IDENTITY_NAMES: [&str; 7] =
    ["container_id", "container_name", "id", "image", "name", "slice", "unit"];

/// What becomes of a value that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overlong {
    /// Keep the beginning, up to a character boundary.
    Cut,
    /// Drop the label.
    Drop,
}

/// How a container's labels become labels of series. See the [module](self) for the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelPolicy {
    /// Put before each key, and sanitised with it: `container_label_` in the cadvisor profile.
    pub prefix: String,
    /// At most so many labels per container (`labels.max_per_container`).
    pub max_per_container: usize,
    /// The longest value, in bytes (`labels.max_value_bytes`).
    pub max_value_bytes: usize,
    /// What becomes of longer values.
    pub overlong: Overlong,
    /// Full names, prefix included, that no label may take: those of the identity, and of the dimensions
    /// (`device`, `interface` …) of the series it shall stand on.
    pub reserved: BTreeSet<String>,
}

impl LabelPolicy {
    /// A policy without prefix for at most `max_per_container` labels, whose values are cut at `max_value_bytes`;
    /// [`IDENTITY_NAMES`] are reserved.
    #[must_use]
    pub fn new(max_per_container: usize, max_value_bytes: usize) -> Self {
        Self {
            prefix: String::new(),
            max_per_container,
            max_value_bytes,
            overlong: Overlong::Cut,
            reserved: IDENTITY_NAMES.map(str::to_owned).into(),
        }
    }

    /// The default of the `native` profile: 32 labels, values cut at 256 bytes.
    #[must_use]
    pub fn native() -> Self {
        Self::new(32, 256)
    }

    /// The `cadvisor` profile: `container_label_*`, at most 128, values above 4 KiB dropped.
    #[must_use]
    pub fn cadvisor() -> Self {
        Self { overlong: Overlong::Drop, ..Self::new(128, 4096).with_prefix("container_label_") }
    }

    /// The same with another prefix.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The same with another treatment of values that are too long.
    #[must_use]
    pub fn with_overlong(mut self, overlong: Overlong) -> Self {
        self.overlong = overlong;
        self
    }

    /// The same with more reserved names.
    #[must_use]
    pub fn with_reserved<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.reserved.extend(names.into_iter().map(Into::into));
        self
    }

    /// Applies the rules to one container's labels, given as key and value in any order.
    ///
    /// The outcome depends on the set of labels alone. The time is that of sorting the keys; of a long value only what
    /// is kept is looked at.
    #[must_use]
    pub fn apply<'a>(&self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> LabelSet {
        let mut counts = LabelCounts::default();
        let mut sorted = Vec::new();
        for (key, value) in labels {
            if key.is_empty() || key.len() > MAX_KEY_BYTES {
                counts.unusable_keys += 1;
            } else {
                sorted.push((key, value));
            }
        }
        // The value decides only between equal keys, which no engine sends but an iterator can.
        sorted.sort_unstable();

        let mut kept = Vec::with_capacity(self.max_per_container.min(sorted.len()));
        let mut claimed = HashSet::new();
        for (at, (key, value)) in sorted.iter().enumerate() {
            if kept.len() == self.max_per_container {
                counts.over_max += (sorted.len() - at) as u64;
                break;
            }
            let name = sanitise(&self.prefix, key);
            if name.starts_with("__") || self.reserved.contains(&name) {
                counts.reserved += 1;
            } else if claimed.contains(&name) {
                counts.collisions += 1;
            } else {
                // A first key whose value is dropped keeps its claim: else what a name stands for would depend on the
                // length of another label's value.
                claimed.insert(name.clone());
                if let Some(value) = self.bounded(value, &mut counts) {
                    kept.push((name, value.to_owned()));
                }
            }
        }
        LabelSet { labels: kept, counts }
    }

    fn bounded<'v>(&self, value: &'v str, counts: &mut LabelCounts) -> Option<&'v str> {
        if value.len() <= self.max_value_bytes {
            return Some(value);
        }
        match self.overlong {
            Overlong::Cut => {
                counts.cut_values += 1;
                Some(&value[..value.floor_char_boundary(self.max_value_bytes)])
            }
            Overlong::Drop => {
                counts.overlong_values += 1;
                None
            }
        }
    }
}

impl Default for LabelPolicy {
    /// [`LabelPolicy::native`].
    fn default() -> Self {
        Self::native()
    }
}

/// One container's labels, fit for series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelSet {
    /// Name and value: names legal and unique, in the order of the original keys.
    pub labels: Vec<(String, String)>,
    /// What did not fit.
    pub counts: LabelCounts,
}

/// How many labels of one container were dropped or cut, by reason. Each label counts under one at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LabelCounts {
    /// Dropped: the key is empty or longer than [`MAX_KEY_BYTES`].
    pub unusable_keys: u64,
    /// Dropped: the name is one of the exporter's own, or starts with `__`.
    pub reserved: u64,
    /// Dropped: an earlier key has the same name.
    pub collisions: u64,
    /// Dropped: the value is too long.
    pub overlong_values: u64,
    /// Dropped: there are enough already.
    pub over_max: u64,
    /// Kept, but cut.
    pub cut_values: u64,
}

impl LabelCounts {
    /// All labels that were dropped.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.unusable_keys + self.reserved + self.collisions + self.overlong_values + self.over_max
    }
}

/// A legal Prometheus label name for `prefix` and `key` together: `_` for every character outside `[a-zA-Z0-9_]`, and
/// before a leading digit. Of an empty prefix and key it is `_`.
#[must_use]
pub fn sanitise(prefix: &str, key: &str) -> String {
    let mut name = String::with_capacity(prefix.len() + key.len() + 1);
    if prefix.chars().chain(key.chars()).next().is_none_or(|first| first.is_ascii_digit()) {
        name.push('_');
    }
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    name.extend(prefix.chars().chain(key.chars()).map(legal));
    name
}

/// The label value for a container's id: the first 12 digits of a 64-digit hexadecimal id, as `docker ps` prints it,
/// and any other id in full, since its beginning need not be unique.
#[must_use]
pub fn short_id(id: &str) -> &str {
    if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) { &id[..12] } else { id }
}
