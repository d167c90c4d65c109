//! Prints one page as each kind of scraper gets it.
//!
//! `cargo run -p exposition --example page`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::time::{Duration, UNIX_EPOCH};

use exposition::{Encoder, Family, Histogram, Kind, LabelBlock, Number, negotiate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let accepts = [
        "*/*",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ];
    let web = LabelBlock::new(&[("container_name", "web"), ("image", "nginx:1.29")])?;
    let disk = LabelBlock::new(&[("device", "8:0")])?;
    let born = UNIX_EPOCH + Duration::from_secs(1_795_000_000);

    for accept in accepts {
        let answer = negotiate(Some(accept));
        let mut page = Encoder::new(answer.format);
        page.family(&Family::new("cpu_seconds_total", "CPU time used.", Kind::Counter).with_unit("seconds"))?;
        page.sample(&[&web], Number::Nanoseconds(1_500_000_000), Some(born));
        page.family(&Family::new("reads_bytes_total", "Bytes read.", Kind::Counter).with_unit("bytes"))?;
        page.sample(&[&web, &disk], Number::Integer(4096), Some(born));
        page.family(&Family::new("load", "A gauge.", Kind::Gauge))?;
        page.sample(&[], Number::Float(0.25), None);
        page.family(&Family::new("scrape_seconds", "A histogram.", Kind::Histogram).with_unit("seconds"))?;
        page.histogram(&[], &Histogram { buckets: &[(0.005, 3), (1.0, 4)], sum: 0.8, count: 4 }, None);
        page.finish();
        println!("Content-Type: {}\n\n{}\n", answer.content_type(), String::from_utf8_lossy(page.buffer()));
    }
    Ok(())
}
