//! Label sets, encoded once and copied into every sample that carries them.

use std::sync::OnceLock;

use thiserror::Error;

use crate::name::{is_label_name, is_reserved_label_name};
use crate::{escape, wire};

/// Why a label set was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The name is outside `[a-zA-Z_][a-zA-Z0-9_]*`.
    #[error("failed to encode label {name:?}: not a legal label name; pass it through sanitize_label_name")]
    InvalidName {
        /// The name as it was given.
        name: String,
    },
    /// The name starts with `__`, which Prometheus keeps for itself.
    #[error("failed to encode label {name:?}: names that start with two underscores are reserved; rename it")]
    ReservedName {
        /// The name as it was given.
        name: String,
    },
    /// The name stands in the set twice; Prometheus refuses a page with such a series.
    #[error(
        "failed to encode label {name:?}: the set holds that name already; drop or rename one of the two"
    )]
    DuplicateName {
        /// The name as it was given.
        name: String,
    },
}

/// An immutable set of labels, escaped once: `container_id="4f1c…",image="nginx"`, in the caller's order.
///
/// A container's block is built when its labels change and is then copied into each of its samples, for as long as it
/// lives. Several blocks of one sample are joined when it is written, without escaping anything again. The protobuf
/// form is made when the first protobuf page asks for it; until then a block costs its text and 40 bytes.
///
/// An empty value is written as it is, but to Prometheus it means that the label is absent: two series that differ
/// only in such a label are one.
///
/// ```
/// use exposition::LabelBlock;
///
/// let block = LabelBlock::new(&[("name", "web"), ("image", "say \"hi\"")])?;
/// assert_eq!(block.as_str(), r#"name="web",image="say \"hi\"""#);
/// assert!(LabelBlock::new(&[("a", "1"), ("a", "2")]).is_err());
/// # Ok::<(), exposition::LabelError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LabelBlock {
    text: Box<str>,
    /// One bit per hashed name: tells cheaply that two blocks share none.
    names: u64,
    /// `LabelPair` fields, ready to stand in a `Metric`. Behind a second box, because a thin pointer is what keeps a
    /// block small where nobody asks for protobuf.
    protobuf: OnceLock<Box<Box<[u8]>>>,
}

impl LabelBlock {
    /// Escapes `labels`, pairs of name and value, in the order given. An empty slice is an empty block.
    ///
    /// # Errors
    ///
    /// A name that is not legal, is reserved, or stands there twice. Values are never refused.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(labels: &[(N, V)]) -> Result<Self, LabelError> {
        let bytes = labels.iter().map(|(name, value)| name.as_ref().len() + value.as_ref().len() + 4).sum();
        let mut text = String::with_capacity(bytes);
        let mut names = 0;
        for (at, (name, value)) in labels.iter().enumerate() {
            let name = name.as_ref();
            if !is_label_name(name) {
                return Err(LabelError::InvalidName { name: name.to_owned() });
            }
            if is_reserved_label_name(name) {
                return Err(LabelError::ReservedName { name: name.to_owned() });
            }
            let bit = name_bit(name);
            if names & bit != 0 && labels[..at].iter().any(|(other, _)| other.as_ref() == name) {
                return Err(LabelError::DuplicateName { name: name.to_owned() });
            }
            names |= bit;
            if at > 0 {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            escape::label_value(&mut text, value.as_ref());
            text.push('"');
        }
        Ok(Self { text: text.into_boxed_str(), names, protobuf: OnceLock::new() })
    }

    /// The block as it stands between the braces of a sample.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the block holds no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether the block holds a label of that name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.names & name_bit(name) != 0 && self.pairs().any(|(own, _)| own == name)
    }

    /// Whether a name stands in both blocks; one sample can then not carry both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.names & other.names != 0 && other.pairs().any(|(name, _)| self.contains(name))
    }

    /// The block as `LabelPair` fields (number 1) of `io.prometheus.client.Metric`.
    pub(crate) fn protobuf(&self) -> &[u8] {
        self.protobuf.get_or_init(|| {
            let mut out = Vec::with_capacity(self.text.len() + self.text.len() / 8);
            for (name, escaped) in self.pairs() {
                let value = unescape(escaped);
                wire::message_head(&mut out, 1, wire::bytes_len(name.len()) + wire::bytes_len(value.len()));
                wire::bytes(&mut out, 1, name.as_bytes());
                wire::bytes(&mut out, 2, value.as_bytes());
            }
            Box::new(out.into_boxed_slice())
        })
    }

    /// Names and escaped values.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.text;
        std::iter::from_fn(move || {
            let (name, tail) = rest.split_once("=\"")?;
            let mut escaped = false;
            let end = tail.bytes().position(|byte| {
                let closes = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                closes
            })?;
            rest = tail[end + 1..].strip_prefix(',').unwrap_or_default();
            Some((name, &tail[..end]))
        })
    }
}

/// A block as a sample carries it: by itself, or from [`PackedLabels`].
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    text: &'a str,
    names: u64,
    block: &'a LabelBlock,
}

impl<'a> Labels<'a> {
    pub(crate) fn as_str(self) -> &'a str {
        self.text
    }

    pub(crate) fn block(self) -> &'a LabelBlock {
        self.block
    }

    /// [`LabelBlock::overlaps`]; looks at the blocks themselves only where names may be in both.
    #[inline]
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.names & other.names != 0 && self.block.overlaps(other.block)
    }
}

impl<'a> From<&'a LabelBlock> for Labels<'a> {
    #[inline]
    fn from(block: &'a LabelBlock) -> Self {
        Self { text: &block.text, names: block.names, block }
    }
}

/// The texts of many blocks in one piece, for who writes all of them again and again in this order: the processor sees what comes
/// next, where blocks that each lie somewhere else would be waited for.
///
/// ```
/// use exposition::{Encoder, Family, Format, Kind, LabelBlock, Number, PackedLabels};
///
/// let blocks = [LabelBlock::new(&[("name", "web")])?, LabelBlock::new(&[("name", "db")])?];
/// let packed = PackedLabels::new(&blocks);
/// let mut encoder = Encoder::new(Format::Text004);
/// encoder.family(&Family::new("threads", "", Kind::Gauge))?;
/// for (at, block) in blocks.iter().enumerate() {
///     encoder.sample_of(&[packed.get(at, block)], Number::Integer(1), None);
/// }
/// assert_eq!(encoder.take(), b"# TYPE threads gauge\nthreads{name=\"web\"} 1\nthreads{name=\"db\"} 1\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct PackedLabels {
    text: String,
    places: Vec<Place>,
}

/// Where a block's text ends, and the bits of its names.
#[derive(Debug, Clone, Copy)]
struct Place {
    end: usize,
    names: u64,
}

impl PackedLabels {
    /// Copies the texts of these blocks.
    pub fn new<'a>(blocks: impl IntoIterator<Item = &'a LabelBlock>) -> Self {
        let mut packed = Self::default();
        for block in blocks {
            packed.text.push_str(&block.text);
            packed.places.push(Place { end: packed.text.len(), names: block.names });
        }
        packed.text.shrink_to_fit();
        packed.places.shrink_to_fit();
        packed
    }

    /// The labels of a block, which is the one that was packed at this place. Past the end it is the block by itself.
    #[inline]
    #[must_use]
    pub fn get<'a>(&'a self, at: usize, block: &'a LabelBlock) -> Labels<'a> {
        let start = at.checked_sub(1).and_then(|before| self.places.get(before)).map_or(0, |place| place.end);
        match self.places.get(at) {
            Some(place) => Labels { text: &self.text[start..place.end], names: place.names, block },
            None => block.into(),
        }
    }
}

/// Two blocks are equal if they hold the same labels in the same order.
impl PartialEq for LabelBlock {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for LabelBlock {}

/// The bit of a name among 64, by FNV-1a.
fn name_bit(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    1 << (hash >> 58)
}

fn unescape(escaped: &str) -> String {
    let mut value = String::with_capacity(escaped.len());
    let mut characters = escaped.chars();
    while let Some(character) = characters.next() {
        value.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => break,
            },
            other => other,
        });
    }
    value
}
