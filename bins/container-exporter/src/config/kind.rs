//! The types a configuration value can have: what each accepts from a file and from text, and how it is shown.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::DeValue;

use super::parse;

/// The longest text that any key accepts, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// The most items of one list or table.
const ITEMS_MAX: usize = 1024;

/// The type of a key: a closed set, so that files, variables, flags and the documentation treat every key alike.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// `true` or `false`; in variables also `1` and `0`.
    Bool,
    /// A whole number within bounds, both included.
    Integer {
        /// The smallest that makes sense.
        min: i64,
        /// The largest that is affordable.
        max: i64,
    },
    /// A length of time: a number of seconds, or text with a unit (`500ms`, `15s`, `2m`, `1h`).
    Seconds {
        /// The shortest that makes sense.
        min: f64,
        /// The longest that makes sense.
        max: f64,
    },
    /// A part of a whole: a number from 0 to 1.
    Ratio,
    /// Any text without control characters.
    Text,
    /// A path of a file or folder.
    Path,
    /// An engine's socket: an absolute path, with or without `unix://`.
    Socket,
    /// An engine's address: as [`Kind::Socket`], or `tcp://host:port`.
    Host,
    /// An `http://` or `https://` URL.
    Url,
    /// The address to listen at.
    Listen,
    /// Where containers are found.
    Source,
    /// A rule that chooses containers, of the form of [`collector_core::select`].
    Rule,
    /// A pattern over the paths of cgroups, of the form of [`source_cgroup::Include`].
    Pattern,
    /// One of these words, upper or lower case.
    Choice(&'static [&'static str]),
    /// Any number of another type of text; in variables with commas between.
    List(&'static Kind),
    /// Names with texts; in variables `name=value` with commas between, percent-encoded.
    Map,
}

/// A value that its key's [`Kind`] has accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Integer`].
    Integer(i64),
    /// Of [`Kind::Seconds`] and [`Kind::Ratio`]; finite and not negative.
    Number(f64),
    /// Of every kind that is written as text, in its canonical form.
    Text(String),
    /// Of [`Kind::List`].
    List(Vec<String>),
    /// Of [`Kind::Map`].
    Map(BTreeMap<String, String>),
}

/// Why a [`Kind`] does not accept what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What was found, quoted, for people; not to be shown for secrets.
    pub(crate) found: String,
    /// What in particular is wrong with it, where the kind has more than one rule.
    pub(crate) why: Option<String>,
}

impl Mismatch {
    fn text(found: &str, why: Option<String>) -> Self {
        let mut shown: String = found.chars().take(60).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        Self { found: format!("{shown:?}"), why }
    }
}

impl Kind {
    /// What the kind accepts, in words that follow "expects".
    pub(crate) fn expects(&self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Seconds { min, max } => {
                format!("seconds from {min} to {max}, or text like \"500ms\" or \"2m\"")
            }
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::Text => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Socket => "the absolute path of a socket".to_owned(),
            Self::Host => "the absolute path of a socket, or tcp://host:port".to_owned(),
            Self::Url => "an http:// or https:// URL, or HOST:PORT".to_owned(),
            Self::Listen => "an address with a port".to_owned(),
            Self::Source => "auto, docker, cgroup or sim:N with N from 1 to 10000".to_owned(),
            Self::Rule => "name=GLOB, image=GLOB, label=KEY or label=KEY=GLOB".to_owned(),
            Self::Pattern => "the path of cgroups, such as system.slice/*.service".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::List(item) => match item {
                Self::Text => "a list of texts".to_owned(),
                Self::Choice(_) => format!("a list, each item {}", item.expects()),
                _ => format!("a list, each item of the form: {}", item.expects()),
            },
            Self::Map => "a table of texts".to_owned(),
        }
    }

    /// Reads the text of an environment variable or a flag.
    ///
    /// # Errors
    /// [`Mismatch`] where the text is none of this kind or out of its bounds.
    pub(crate) fn read_text(&self, text: &str) -> Result<Value, Mismatch> {
        let mismatch = |why: Option<&str>| Mismatch::text(text, why.map(str::to_owned));
        match self {
            Self::Bool => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err(mismatch(None)),
            },
            Self::Integer { .. } => {
                let number = text.trim().parse().map_err(|_| mismatch(None))?;
                self.integer(number).ok_or_else(|| mismatch(None))
            }
            Self::Seconds { .. } => {
                parse::seconds(text).and_then(|s| self.number(s)).ok_or_else(|| mismatch(None))
            }
            Self::Ratio => {
                text.trim().parse().ok().and_then(|number| self.number(number)).ok_or_else(|| mismatch(None))
            }
            Self::List(item) => {
                let items = parse::split_outside_braces(text);
                item.items(items.iter().map(|item| Ok(item.as_str()))).map(Value::List)
            }
            Self::Map => match parse::pairs(text) {
                Some(pairs) if pairs.len() <= ITEMS_MAX => Ok(Value::Map(pairs)),
                _ => Err(mismatch(Some("in text it is written name=value,name=value"))),
            },
            _ => self.scalar(text).map(Value::Text),
        }
    }

    /// Reads a value of a TOML file.
    ///
    /// # Errors
    /// [`Mismatch`] where the value is none of this kind or out of its bounds.
    pub(crate) fn read_toml(&self, value: &DeValue<'_>) -> Result<Value, Mismatch> {
        let mismatch = || Mismatch { found: describe(value), why: None };
        match (self, value) {
            (Self::Bool, DeValue::Boolean(flag)) => Ok(Value::Bool(*flag)),
            (Self::Integer { .. }, DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .and_then(|number| self.integer(number))
                    .ok_or_else(mismatch)
            }
            (Self::Seconds { .. } | Self::Ratio, DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .and_then(|number| self.number(number as f64))
                    .ok_or_else(mismatch)
            }
            (Self::Seconds { .. } | Self::Ratio, DeValue::Float(number)) => {
                number.as_str().parse().ok().and_then(|number| self.number(number)).ok_or_else(mismatch)
            }
            (Self::Seconds { .. }, DeValue::String(text)) => self.read_text(text),
            (Self::List(item), DeValue::Array(array)) => {
                let items = array.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(&**text),
                    other => {
                        Err(Mismatch { found: describe(other), why: Some("each item is text".to_owned()) })
                    }
                });
                item.items(items).map(Value::List)
            }
            (Self::Map, DeValue::Table(table)) if table.len() <= ITEMS_MAX => table
                .iter()
                .map(|(name, value)| match value.get_ref() {
                    DeValue::String(text) => Ok((name.get_ref().to_string(), Self::Text.scalar(text)?)),
                    other => {
                        Err(Mismatch { found: describe(other), why: Some("each value is text".to_owned()) })
                    }
                })
                .collect::<Result<_, _>>()
                .map(Value::Map),
            (Self::Bool | Self::Integer { .. } | Self::Ratio | Self::List(_) | Self::Map, _) => {
                Err(mismatch())
            }
            (_, DeValue::String(text)) => self.scalar(text).map(Value::Text),
            _ => Err(mismatch()),
        }
    }

    /// Reads one of the kinds that are written as text, into its canonical form.
    fn scalar(&self, text: &str) -> Result<String, Mismatch> {
        let refused = |why: &str| Err(Mismatch::text(text, Some(why.to_owned())));
        if text.trim().is_empty() {
            return refused("it is empty");
        }
        if text.len() > TEXT_BYTES_MAX {
            return refused("it is longer than 4096 bytes");
        }
        if text.chars().any(char::is_control) {
            return refused("it has control characters");
        }
        let checked = match self {
            Self::Socket => parse::socket(text),
            Self::Host => parse::host(text),
            Self::Url => parse::url(text),
            Self::Listen => parse::listen(text).map(|address| address.to_string()),
            Self::Source => parse::source(text).map(|source| source.to_string()),
            Self::Rule => parse::rule(text.trim()).map(str::to_owned),
            Self::Pattern => parse::pattern(text.trim()).map(str::to_owned),
            Self::Choice(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text.trim())) {
                Some(word) => Ok((*word).to_owned()),
                None => return Err(Mismatch::text(text, None)),
            },
            _ => Ok(text.to_owned()),
        };
        checked.map_err(|why| Mismatch::text(text, Some(why)))
    }

    /// Reads the items of a list whose items are of this kind.
    fn items<'a>(
        &self,
        items: impl Iterator<Item = Result<&'a str, Mismatch>>,
    ) -> Result<Vec<String>, Mismatch> {
        let mut read = Vec::new();
        for item in items {
            if read.len() == ITEMS_MAX {
                return Err(Mismatch { found: "more than 1024 items".to_owned(), why: None });
            }
            let item = self.scalar(item?)?;
            // Said twice is meant once.
            if !read.contains(&item) {
                read.push(item);
            }
        }
        Ok(read)
    }

    fn integer(&self, number: i64) -> Option<Value> {
        let Self::Integer { min, max } = self else { return None };
        (*min..=*max).contains(&number).then_some(Value::Integer(number))
    }

    /// NaN and the infinities are in no range.
    fn number(&self, number: f64) -> Option<Value> {
        let (min, max) = match self {
            Self::Seconds { min, max } => (*min, *max),
            Self::Ratio => (0.0, 1.0),
            _ => return None,
        };
        (min..=max).contains(&number).then_some(Value::Number(number))
    }
}

/// A TOML value in words, short.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {}", Mismatch::text(text, None).found),
        DeValue::Integer(number) => format!("the number {}", cut(&number.to_string())),
        DeValue::Float(number) => format!("the number {}", cut(number.as_str())),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn cut(text: &str) -> String {
    if text.len() > 40 {
        format!("{}…", text.chars().take(40).collect::<String>())
    } else {
        text.to_owned()
    }
}

impl Value {
    /// The text that an environment variable or a flag would carry for this value.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(items) => items.join(","),
            Self::Map(pairs) => {
                pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        }
    }

    /// The same value with nothing in it that must not be shown.
    pub(crate) fn masked(&self) -> Self {
        match self {
            Self::Map(pairs) => Self::Map(pairs.keys().map(|name| (name.clone(), MASK.to_owned())).collect()),
            _ => Self::Text(MASK.to_owned()),
        }
    }
}

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "****";

/// Shows the value as TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{}", quoted(text)),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Map(pairs) if pairs.is_empty() => f.write_str("{}"),
            Self::Map(pairs) => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
                    .collect();
                write!(f, "{{ {} }}", pairs.join(", "))
            }
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
