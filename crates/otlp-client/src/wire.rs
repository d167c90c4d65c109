//! Reads the few protobuf messages that receivers answer with.
//!
//! Three small messages with a handful of fields: a reader of the wire format is shorter than a code generator's
//! runtime, and takes anything without a panic.

use std::time::Duration;

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed 32 or 64 bits: no message read here has any.
    Fixed,
}

/// Not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The fields of a message, in the order of the wire.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn bytes(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.bytes(len)?)
            }
            5 => self.bytes(4).map(|_| Value::Fixed)?,
            // Groups ended with proto2.
            _ => return Err(Malformed),
        };
        match tag >> 3 {
            0 => Err(Malformed),
            number => Ok((number, value)),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ExportResponse {
    /// `partial_success.rejected_data_points`; negative ones are none.
    pub(crate) rejected: u64,
    /// `partial_success.error_message`.
    pub(crate) message: String,
}

impl ExportResponse {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut response = Self::default();
        for field in Fields(bytes) {
            let (1, Value::Bytes(partial)) = field? else { continue };
            for field in Fields(partial) {
                match field? {
                    (1, Value::Varint(rejected)) => {
                        response.rejected = u64::try_from(rejected.cast_signed()).unwrap_or(0);
                    }
                    (2, Value::Bytes(message)) => {
                        response.message = String::from_utf8_lossy(message).into_owned()
                    }
                    _ => {}
                }
            }
        }
        Ok(response)
    }
}

/// `google.rpc.Status`, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Status {
    /// `message`.
    pub(crate) message: String,
    /// The `retry_delay` of the `google.rpc.RetryInfo` in `details`.
    pub(crate) retry_delay: Option<Duration>,
}

impl Status {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut status = Self::default();
        for field in Fields(bytes) {
            match field? {
                (2, Value::Bytes(message)) => status.message = String::from_utf8_lossy(message).into_owned(),
                (3, Value::Bytes(any)) => {
                    if let Some(delay) = retry_delay(any)? {
                        status.retry_delay = Some(delay);
                    }
                }
                _ => {}
            }
        }
        Ok(status)
    }
}

/// Of a `google.protobuf.Any`: `None` where it holds something else than a `RetryInfo`.
fn retry_delay(any: &[u8]) -> Result<Option<Duration>, Malformed> {
    let (mut kind, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields(any) {
        match field? {
            (1, Value::Bytes(bytes)) => kind = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    if !kind.ends_with(b"/google.rpc.RetryInfo") {
        return Ok(None);
    }
    // Without a delay: at once.
    let mut delay = Duration::ZERO;
    for field in Fields(value) {
        let (1, Value::Bytes(duration)) = field? else { continue };
        let (mut seconds, mut nanos) = (0, 0);
        for field in Fields(duration) {
            match field? {
                (1, Value::Varint(value)) => seconds = u64::try_from(value.cast_signed()).unwrap_or(0),
                (2, Value::Varint(value)) => {
                    nanos = u32::try_from(value).unwrap_or(0).min(999_999_999);
                }
                _ => {}
            }
        }
        delay = Duration::new(seconds, nanos);
    }
    Ok(Some(delay))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_partial_success_is_read() {
        let read = |bytes: &[u8]| ExportResponse::read(bytes);
        assert_eq!(read(b""), Ok(ExportResponse::default()));
        // { partial_success { rejected_data_points: 300, error_message: "no" } } and an unknown field.
        let expect = ExportResponse { rejected: 300, message: "no".to_owned() };
        assert_eq!(read(b"\x0a\x07\x08\xac\x02\x12\x02no\x38\x01"), Ok(expect));
        // −1 points.
        let minus = b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(read(minus), Ok(ExportResponse::default()));
        assert_eq!(read(b"<html>"), Err(Malformed));
        assert_eq!(read(b"\x0a\x7f"), Err(Malformed));
    }

    #[test]
    fn a_retry_info_is_found_among_other_details() {
        let mut any = b"\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x07".to_vec();
        // { retry_delay { seconds: 3, nanos: 128 } }
        any.extend_from_slice(b"\x0a\x05\x08\x03\x10\x80\x01");
        let mut status = b"\x08\x0e\x12\x04full\x1a\x05\x0a\x03a/b\x1a".to_vec();
        status.push(u8::try_from(any.len()).expect("short"));
        status.extend_from_slice(&any);
        let expect = Status { message: "full".to_owned(), retry_delay: Some(Duration::new(3, 128)) };
        assert_eq!(Status::read(&status), Ok(expect));
        for end in 0..status.len() {
            let _ = Status::read(&status[..end]);
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_generated_structs(
            rejected: i64, text: String, nanos in 0..1_000_000_000_u32, seconds in 0..315_576_000_000_u64, more: bool,
        ) {
            use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
            use prost::Message as _;
            use tonic_types::{ErrorDetails, StatusExt as _};
            let partial = ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message: text.clone() };
            let bytes = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
            let expect = ExportResponse { rejected: u64::try_from(rejected).unwrap_or(0), message: text.clone() };
            prop_assert_eq!(ExportResponse::read(&bytes), Ok(expect));

            let delay = Duration::new(seconds, nanos);
            let mut details = ErrorDetails::with_retry_info(Some(delay));
            if more {
                details.set_debug_info(vec![text.clone()], text.clone()).add_help_link(text.clone(), "x");
            }
            let status = tonic::Status::with_error_details(tonic::Code::Unavailable, text.clone(), details);
            let expect = Status { message: text, retry_delay: Some(delay) };
            prop_assert_eq!(Status::read(status.details()), Ok(expect));
        }

        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = ExportResponse::read(&bytes);
            let _ = Status::read(&bytes);
            let _ = retry_delay(&bytes);
        }
    }
}
