//! The protobuf wire format, as far as `io.prometheus.client.MetricFamily` needs it.
//!
//! Every field number used here is below 16, so every tag is one byte.

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

pub(crate) fn uint64(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3 | VARINT);
    varint(out, value);
}

pub(crate) fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(field << 3 | FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// The tag and length of a nested message whose `len` bytes the caller appends.
pub(crate) fn message_head(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(field << 3 | BYTES);
    varint(out, len as u64);
}

pub(crate) fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    message_head(out, field, value.len());
    out.extend_from_slice(value);
}

/// The bytes of a length-delimited field: tag, length, content.
pub(crate) fn bytes_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}
