//! Pages in every format, read back by parsers that share nothing with the crate.

mod parse;
#[cfg(feature = "registry")]
mod registry;
mod round_trip;
mod traps;
mod values;

use exposition::{Encoder, Format, LabelBlock};
use parse::Page;

const FORMATS: [Format; 4] =
    [Format::Text004, Format::OpenMetrics001, Format::OpenMetrics100, Format::Protobuf];

fn block(labels: &[(&str, &str)]) -> LabelBlock {
    LabelBlock::new(labels).expect("legal labels")
}

/// What `write` puts on a page.
fn page(format: Format, write: impl Fn(&mut Encoder)) -> Vec<u8> {
    let mut encoder = Encoder::new(format);
    write(&mut encoder);
    encoder.finish();
    encoder.take()
}

fn text(format: Format, write: impl Fn(&mut Encoder)) -> String {
    String::from_utf8(page(format, write)).expect("text formats are UTF-8")
}

fn parse(format: Format, bytes: &[u8]) -> Page {
    let parsed = match format {
        Format::Text004 => parse::text::text004(bytes),
        Format::Protobuf => parse::protobuf::delimited(bytes),
        _ => parse::text::open_metrics(bytes),
    };
    parsed.unwrap_or_else(|error| panic!("{format:?}: {error}\n{}", String::from_utf8_lossy(bytes)))
}

/// Reads the page back in every format and checks that all hold the same series with the same values.
fn same_in_every_format(write: impl Fn(&mut Encoder)) -> Page {
    let [first, rest @ ..] = FORMATS.map(|format| parse(format, &page(format, &write)));
    for other in rest {
        assert_eq!(other.samples, first.samples);
    }
    first
}
