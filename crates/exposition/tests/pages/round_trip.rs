//! Any families, labels and values come back the same from every format.

use std::collections::BTreeMap;

use exposition::{Encoder, Family, Format, Histogram, Kind, LabelBlock, Number};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use crate::{same_in_every_format, text};

#[derive(Debug, Clone)]
struct Series {
    container: BTreeMap<String, String>,
    device: Option<String>,
    number: Number,
    buckets: Vec<u64>,
}

fn value_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), r#"[\\"\n{},=a\x00]{0,12}"#]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<u64>().prop_map(Number::Integer),
        any::<u64>().prop_map(Number::Nanoseconds),
        (0..10_000_000_000u64).prop_map(Number::Nanoseconds),
        any::<f64>().prop_map(Number::Float),
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)]
            .prop_map(Number::Float),
    ]
}

fn series() -> impl Strategy<Value = Series> {
    let container = btree_map("[a-ce-z_][a-zA-Z0-9]{0,4}", value_text(), 0..5);
    let device = proptest::option::of(value_text());
    (container, device, number(), vec(0..100u64, 3)).prop_map(|(mut container, device, number, buckets)| {
        container.remove("le");
        Series { container, device, number, buckets }
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Counter), Just(Kind::Gauge), Just(Kind::Histogram), Just(Kind::Unknown)]
}

/// The same float whatever NaN it is: text keeps no NaN payload.
fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

fn write(encoder: &mut Encoder, families: &[(Kind, bool, String, Vec<Series>)]) {
    for (at, (kind, total, help, all)) in families.iter().enumerate() {
        let name = format!("family_{at}_seconds{}", if *total { "_total" } else { "" });
        encoder.family(&Family::new(&name, help, *kind).with_unit("seconds")).expect("distinct legal names");
        for (n, series) in all.iter().enumerate() {
            let labels: Vec<_> = series.container.iter().collect();
            let block = LabelBlock::new(&labels).expect("distinct legal labels");
            let n = n.to_string();
            let device: Vec<_> = series
                .device
                .iter()
                .map(|device| ("device", device.as_str()))
                .chain([("dn", n.as_str())])
                .collect();
            let device = LabelBlock::new(&device).expect("distinct legal labels");
            let blocks = [&block, &device];
            if *kind == Kind::Histogram {
                let mut sum = 0;
                let bounds = [0.005, 1.0, 250.5];
                let cumulative = std::iter::zip(bounds, &series.buckets).map(|(bound, count)| {
                    sum += count;
                    (bound, sum)
                });
                let buckets: Vec<_> = cumulative.collect();
                encoder.histogram(&blocks, &Histogram { buckets: &buckets, sum: 0.5, count: sum + 1 }, None);
            } else {
                encoder.sample(&blocks, series.number, None);
            }
        }
    }
    assert_eq!(encoder.refused_samples(), 0);
}

/// Which series a page has, as numbers of the family and of the series in it; the lines of a histogram are one.
fn order(page: &str) -> Vec<(usize, usize)> {
    // A quotation mark within a value is escaped, so nothing but a label looks like one.
    let number = |line: &str, before: &str, after: char| {
        let (_, rest) = line.rsplit_once(before)?;
        rest.split(after).next()?.parse().ok()
    };
    let series =
        |line: &str| Some((number(&line[..line.find('{')?], "family_", '_')?, number(line, "dn=\"", '"')?));
    let mut found: Vec<_> =
        page.split('\n').filter(|line| !line.starts_with('#')).filter_map(series).collect();
    found.dedup();
    found
}

fn written_order(families: &[(Kind, bool, String, Vec<Series>)]) -> Vec<(usize, usize)> {
    families.iter().enumerate().flat_map(|(at, (.., all))| (0..all.len()).map(move |n| (at, n))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_page_says_what_was_written(
        families in vec((kind(), any::<bool>(), value_text(), vec(series(), 0..5)), 0..6),
    ) {
        let page = same_in_every_format(|encoder| write(encoder, &families));
        let mut plain = 0;
        for (at, (kind, total, help, all)) in families.iter().enumerate() {
            let name = format!("family_{at}_seconds{}", if *total { "_total" } else { "" });
            if let Some(described) = page.families.get(&name) {
                prop_assert_eq!(described.help.as_deref().unwrap_or_default(), help);
            }
            prop_assert_eq!(page.families.contains_key(&name), !all.is_empty());
            for (n, series) in all.iter().enumerate() {
                if *kind == Kind::Histogram {
                    plain += 6;
                    continue;
                }
                plain += 1;
                let mut labels = series.container.clone();
                labels.extend(series.device.clone().map(|device| ("device".to_owned(), device)));
                labels.insert("dn".to_owned(), n.to_string());
                let found = page.samples.get(&(name.clone(), labels)).copied();
                prop_assert_eq!(found.map(f64::from_bits).map(bits), Some(bits(series.number.as_f64())));
            }
        }
        prop_assert_eq!(page.samples.len(), plain);
        for format in [Format::Text004, Format::OpenMetrics100] {
            prop_assert_eq!(order(&text(format, |encoder| write(encoder, &families))), written_order(&families));
        }
    }

    /// The exact quotient, rounded once: neighbours in both directions are no nearer.
    #[test]
    fn nanoseconds_are_rounded_once(nanos in prop_oneof![any::<u64>(), 0..1u64 << 54, Just(u64::MAX)]) {
        let seconds = Number::Nanoseconds(nanos).as_f64();
        let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
        prop_assert_eq!(seconds, text.parse::<f64>().expect("decimal"));
    }
}
