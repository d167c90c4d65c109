//! The protobuf wire format, as far as OTLP's metrics need it.
//!
//! A message's length stands before it and is known only behind it. It is written into four bytes that are kept free, as a
//! varint with needless continuation bits: every decoder takes those, and nothing is moved or measured twice.

/// A field whose value is a varint.
const VARINT: u64 = 0;
/// A field of eight bytes, little-endian.
const FIXED64: u64 = 1;
/// A field that begins with its length.
const LENGTH: u64 = 2;

/// What an open message needs before its content: the tag (fields up to 15) and its length.
pub(crate) const OPEN_BYTES: usize = 1 + LENGTH_BYTES;
/// Four groups of seven bits: 256 MiB.
const LENGTH_BYTES: usize = 4;

/// Where the length of an open message belongs.
#[derive(Debug, Clone, Copy)]
#[must_use = "the message must be closed"]
pub(crate) struct Mark(usize);

fn tag(out: &mut Vec<u8>, field: u64, kind: u64) {
    varint(out, field << 3 | kind);
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are meant")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is below 128")]
    out.push(value as u8);
}

/// How many bytes a length takes.
pub(crate) const fn length_bytes(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// A number as a varint field.
pub(crate) fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

/// A number of eight bytes: `fixed64`, `sfixed64` or `double`.
pub(crate) fn eight(out: &mut Vec<u8>, field: u64, value: [u8; 8]) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value);
}

/// The head of a field of that length.
pub(crate) fn head(out: &mut Vec<u8>, field: u64, length: usize) {
    tag(out, field, LENGTH);
    varint(out, length as u64);
}

/// A text or a message whose bytes are there.
pub(crate) fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    head(out, field, value.len());
    out.extend_from_slice(value);
}

/// Begins a message.
pub(crate) fn open(out: &mut Vec<u8>, field: u64) -> Mark {
    tag(out, field, LENGTH);
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    Mark(out.len())
}

/// Ends it: its length is known now.
pub(crate) fn close(out: &mut [u8], Mark(start): Mark) {
    let length = out.len() - start;
    for (at, byte) in out[start - LENGTH_BYTES..start].iter_mut().enumerate() {
        let more = if at + 1 < LENGTH_BYTES { 0x80 } else { 0 };
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are meant")]
        let bits = (length >> (7 * at)) as u8 & 0x7f;
        *byte = bits | more;
    }
}

/// Field numbers of `opentelemetry.proto.common.v1`.
mod common {
    pub(super) const KEY: u64 = 1;
    pub(super) const VALUE: u64 = 2;
    pub(super) const STRING: u64 = 1;
    pub(super) const INT: u64 = 3;
    pub(super) const ARRAY: u64 = 5;
    pub(super) const VALUES: u64 = 1;
}

/// An attribute (`KeyValue`) as that field.
pub(crate) fn attribute(out: &mut Vec<u8>, field: u64, key: &str, value: &str) {
    let text = 1 + length_bytes(value.len()) + value.len();
    let whole = 1 + length_bytes(key.len()) + key.len() + 1 + length_bytes(text) + text;
    head(out, field, whole);
    bytes(out, common::KEY, key.as_bytes());
    head(out, common::VALUE, text);
    bytes(out, common::STRING, value.as_bytes());
}

/// An attribute whose value is a number.
pub(crate) fn attribute_int(out: &mut Vec<u8>, field: u64, key: &str, value: i64) {
    let whole = open(out, field);
    bytes(out, common::KEY, key.as_bytes());
    let inner = open(out, common::VALUE);
    // Two's complement, as protobuf has `int64`.
    number(out, common::INT, value.cast_unsigned());
    close(out, inner);
    close(out, whole);
}

/// An attribute whose value is an array of texts.
pub(crate) fn attribute_list(out: &mut Vec<u8>, field: u64, key: &str, values: &[&str]) {
    let whole = open(out, field);
    bytes(out, common::KEY, key.as_bytes());
    let value = open(out, common::VALUE);
    let array = open(out, common::ARRAY);
    for one in values {
        let text = 1 + length_bytes(one.len()) + one.len();
        head(out, common::VALUES, text);
        bytes(out, common::STRING, one.as_bytes());
    }
    close(out, array);
    close(out, value);
    close(out, whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_length_is_the_length() {
        for length in [0, 1, 127, 128, 300, 20_000, 3_000_000] {
            let mut out = vec![7; 3];
            let mark = open(&mut out, 2);
            out.resize(out.len() + length, 1);
            close(&mut out, mark);
            let mut buffer = &out[4..];
            let read = prost::encoding::decode_varint(&mut buffer).expect("a varint");
            assert_eq!((read, buffer.len()), (length as u64, length));
        }
    }

    #[test]
    fn lengths_take_what_they_are_said_to() {
        for length in [0, 127, 128, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000] {
            let mut out = Vec::new();
            varint(&mut out, length as u64);
            assert_eq!(out.len(), length_bytes(length), "{length}");
        }
    }
}
