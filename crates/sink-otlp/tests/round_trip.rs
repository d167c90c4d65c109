//! The bytes mean what the structs of `opentelemetry-proto` would: generated snapshots are encoded both ways.

mod support;

use std::collections::BTreeMap;

use collector_core::Groups;
use proptest::prelude::*;
use sink_otlp::{AttributeValue, Identity, Names, Options, OtlpSink};
use support::{Flat, chance::draw, decode, export, flat, oracle::Oracle};

fn options(identity: Identity, names: Names) -> Options {
    let mut options = Options::default();
    options.groups = Groups::all();
    options.identity = identity;
    options.names = names;
    options.label_value_bytes_max = 20;
    options.labels_max = 5;
    let pair = |(key, value): (&str, &str)| (key.to_owned(), AttributeValue::from(value));
    options.resource = [("service.name", "exporter"), ("host.name", "höst")].map(pair).into();
    let numbers = [("process.pid", 4_194_304_i64), ("odd", -1), ("none", 0)];
    options.resource.extend(numbers.map(|(key, value)| (key.to_owned(), value.into())));
    options.container_resource = [("host.name", "höst")].map(pair).into();
    options
}

/// Points by series, for neither side promises an order between metrics.
fn sorted(points: Vec<Flat>) -> BTreeMap<(String, String), Vec<Flat>> {
    let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for point in points {
        sorted.entry(point.series()).or_default().push(point);
    }
    sorted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Several exports in a row, so that series begin and end.
    #[test]
    fn both_encoders_say_the_same(
        seeds in proptest::collection::vec(any::<u64>(), 1..5),
        identity in prop_oneof![Just(Identity::Resource), Just(Identity::DataPoint), Just(Identity::Both)],
        names in prop_oneof![Just(Names::Semconv), Just(Names::Prometheus)],
        bytes_max in prop_oneof![Just(3_800_000), 8_000..20_000usize],
    ) {
        let mut options = options(identity, names);
        options.batch_bytes_max = bytes_max;
        let mut slow = Oracle::new(options.clone());
        let mut fast = OtlpSink::new(options);
        for seed in seeds {
            let snapshot = draw(seed, 9);
            let batches = export(&mut fast, &snapshot);
            for batch in &batches {
                prop_assert!(batch.body.len() <= bytes_max, "{} bytes", batch.body.len());
                let request = decode(batch);
                prop_assert!(prost::Message::encoded_len(&request) <= batch.body.len());
                prop_assert_eq!(support::flatten(request).len(), batch.points);
            }
            let (ours, theirs) = (sorted(flat(&batches)), sorted(slow.export(&snapshot)));
            for (series, points) in &theirs {
                prop_assert_eq!(ours.get(series), Some(points), "{:?}", series);
            }
            for series in ours.keys() {
                prop_assert!(theirs.contains_key(series), "only ours: {:?}", ours[series]);
            }
        }
    }
}
