//! What takes a whole target down, one test each.

use std::time::{Duration, UNIX_EPOCH};

use exposition::{
    CHUNK_BYTES, Encoder, Family, FamilyError, Format, Histogram, Kind, LabelBlock, Number, Summary,
};

use crate::{FORMATS, block, page, parse, same_in_every_format, text};

fn open(encoder: &mut Encoder, name: &str, kind: Kind) {
    encoder.family(&Family::new(name, "Help.", kind)).expect("a new legal name");
}

fn one(encoder: &mut Encoder, family: Family<'_>) {
    encoder.family(&family).expect("a new legal name");
    encoder.sample(&[], Number::Integer(1), None);
}

#[test]
fn open_metrics_describes_a_counter_without_total() {
    let write = |encoder: &mut Encoder| one(encoder, Family::new("cpu_seconds_total", "CPU.", Kind::Counter));
    assert_eq!(
        text(Format::Text004, write),
        "# HELP cpu_seconds_total CPU.\n# TYPE cpu_seconds_total counter\ncpu_seconds_total 1\n"
    );
    assert_eq!(
        text(Format::OpenMetrics100, write),
        "# HELP cpu_seconds CPU.\n# TYPE cpu_seconds counter\ncpu_seconds_total 1\n# EOF\n"
    );
    same_in_every_format(write);
}

#[test]
fn a_counter_without_total_is_unknown_in_open_metrics_only() {
    for name in ["container_memory_failcnt", "_total"] {
        let write = |encoder: &mut Encoder| one(encoder, Family::new(name, "", Kind::Counter));
        assert_eq!(text(Format::Text004, write), format!("# TYPE {name} counter\n{name} 1\n"));
        assert_eq!(text(Format::OpenMetrics100, write), format!("# TYPE {name} unknown\n{name} 1\n# EOF\n"));
        let protobuf = parse(Format::Protobuf, &page(Format::Protobuf, write));
        assert_eq!(protobuf.families[name].kind.as_deref(), Some("counter"));
    }
}

#[test]
fn a_unit_is_written_only_where_the_name_ends_in_it() {
    let table = [
        ("reads_bytes_total", Kind::Counter, "bytes", true),
        ("reads_bytes", Kind::Gauge, "bytes", true),
        ("reads_bytes_total", Kind::Gauge, "bytes", false),
        ("reads_bytes_max", Kind::Gauge, "bytes", false),
        ("readsbytes", Kind::Gauge, "bytes", false),
        ("bytes", Kind::Gauge, "bytes", false),
        ("reads", Kind::Gauge, "", false),
        ("reads_", Kind::Gauge, "", false),
        ("failures_bytes", Kind::Counter, "bytes", true),
        ("wait_seconds", Kind::Histogram, "seconds", true),
    ];
    for (name, kind, unit, written) in table {
        let write = |encoder: &mut Encoder| {
            encoder.family(&Family::new(name, "Help.", kind).with_unit(unit)).expect("a legal name");
            encoder.sample(&[], Number::Integer(1), None);
            encoder.histogram(&[], &Histogram { buckets: &[], sum: 0.0, count: 0 }, None);
        };
        for format in FORMATS {
            let page = parse(format, &page(format, write));
            let described = page.families.values().next().expect("one family");
            let expect = (written && format != Format::Text004).then(|| unit.to_owned());
            assert_eq!(described.unit, expect, "{name} {kind:?} {unit:?} {format:?}");
        }
    }
}

#[test]
fn a_gauge_beside_a_counter_of_its_name_keeps_both() {
    let gauge = Family::new("alloc_bytes", "Now.", Kind::Gauge);
    let counter = Family::new("alloc_bytes_total", "Ever.", Kind::Counter);
    let gauge_first =
        |encoder: &mut Encoder| [gauge, counter].into_iter().for_each(|family| one(encoder, family));
    let counter_first =
        |encoder: &mut Encoder| [counter, gauge].into_iter().for_each(|family| one(encoder, family));
    assert_eq!(
        text(Format::OpenMetrics100, gauge_first),
        "# HELP alloc_bytes Now.\n# TYPE alloc_bytes gauge\nalloc_bytes 1\n\
         # HELP alloc_bytes_total Ever.\n# TYPE alloc_bytes_total unknown\nalloc_bytes_total 1\n# EOF\n"
    );
    assert_eq!(
        text(Format::OpenMetrics100, counter_first),
        "# HELP alloc_bytes Ever.\n# TYPE alloc_bytes counter\nalloc_bytes_total 1\nalloc_bytes 1\n# EOF\n"
    );
    same_in_every_format(gauge_first);
}

#[test]
fn a_family_stands_on_the_page_once() {
    for format in FORMATS {
        let bytes = page(format, |encoder| {
            let again = Family::new("a", "Again.", Kind::Gauge);
            open(encoder, "a", Kind::Gauge);
            // Without samples it is not there yet.
            open(encoder, "a", Kind::Gauge);
            encoder.sample(&[], Number::Integer(1), None);
            open(encoder, "b", Kind::Gauge);
            encoder.sample(&[], Number::Integer(2), None);
            assert_eq!(encoder.family(&again), Err(FamilyError::Duplicate { name: "a".to_owned() }));
            encoder.sample(&[&block(&[("x", "1")])], Number::Integer(3), None);
            assert_eq!(encoder.refused_samples(), 1);
            open(encoder, "h", Kind::Histogram);
            encoder.histogram(&[], &Histogram { buckets: &[], sum: 0.0, count: 0 }, None);
            for taken in ["h", "h_bucket", "h_sum", "h_count"] {
                assert!(encoder.family(&Family::new(taken, "", Kind::Gauge)).is_err(), "{taken}");
            }
            assert!(encoder.family(&Family::new("b", "", Kind::Summary)).is_err());
            for illegal in ["", "1a", "a b", "a.b", "é"] {
                let expect = FamilyError::InvalidName { name: illegal.to_owned() };
                assert_eq!(encoder.family(&Family::new(illegal, "", Kind::Gauge)), Err(expect));
            }
        });
        let page = parse(format, &bytes);
        assert_eq!((page.value("a"), page.value("b"), page.samples.len()), (Some(1.0), Some(2.0), 5));
    }
}

#[test]
fn an_empty_family_leaves_nothing() {
    for (format, expect) in FORMATS.into_iter().zip(["", "# EOF\n", "# EOF\n", ""]) {
        assert_eq!(text(format, |encoder| open(encoder, "a", Kind::Gauge)), expect);
        assert_eq!(text(format, |_| {}), expect);
    }
}

#[test]
fn after_the_end_nothing_is_written() {
    let mut encoder = Encoder::new(Format::OpenMetrics100);
    encoder.finish();
    encoder.finish();
    let late = Family::new("a", "", Kind::Gauge);
    assert_eq!(encoder.family(&late), Err(FamilyError::Finished { name: "a".to_owned() }));
    encoder.sample(&[], Number::Integer(1), None);
    assert_eq!(encoder.take(), b"# EOF\n");
    assert!(encoder.take().is_empty());
    assert_eq!(encoder.refused_samples(), 1);
}

#[test]
fn a_label_name_stands_in_a_series_once() {
    assert!(LabelBlock::new(&[("a_b", "1"), ("c", "2"), ("a_b", "3")]).is_err());
    // Text that looks like a label inside a value is none.
    let first = block(&[("name", r#"x,device="8:0",y="#), ("size", "device=")]);
    let device = block(&[("device", "8:0")]);
    let clash = block(&[("zone", "z"), ("size", "1")]);
    assert!(!first.overlaps(&device) && !device.overlaps(&first) && !first.contains("y"));
    assert!(first.overlaps(&clash) && clash.overlaps(&first));
    let page = same_in_every_format(|encoder| {
        open(encoder, "a", Kind::Gauge);
        encoder.sample(&[&first, &device], Number::Integer(1), None);
        encoder.sample(&[&first, &device, &clash], Number::Integer(2), None);
        encoder.sample(&[&first, &first], Number::Integer(3), None);
        assert_eq!(encoder.refused_samples(), 2);
    });
    assert_eq!(page.value("a"), Some(1.0));
}

#[test]
fn sixty_five_names_collide_in_the_hash_but_are_told_apart() {
    let names: Vec<_> = (0..130).map(|n| (format!("label_{n}"), "v")).collect();
    let (left, right) = names.split_at(65);
    let (left, right) = (LabelBlock::new(left).expect("distinct"), LabelBlock::new(right).expect("distinct"));
    assert!(!left.overlaps(&right));
    assert!(left.contains("label_64") && !left.contains("label_65"));
    let page = same_in_every_format(|encoder| {
        open(encoder, "a", Kind::Gauge);
        encoder.sample(&[&left, &right], Number::Integer(1), None);
    });
    assert_eq!(page.samples.keys().next().expect("one series").1.len(), 130);
}

#[test]
fn a_sample_of_another_kind_is_refused() {
    let histogram = Histogram { buckets: &[(1.0, 1)], sum: 1.0, count: 1 };
    let summary = Summary { quantiles: &[(0.5, 1.0)], sum: 1.0, count: 1 };
    let page = same_in_every_format(|encoder| {
        encoder.sample(&[], Number::Integer(1), None);
        open(encoder, "g", Kind::Gauge);
        encoder.histogram(&[], &histogram, None);
        encoder.summary(&[], &summary, None);
        open(encoder, "h", Kind::Histogram);
        encoder.sample(&[], Number::Integer(1), None);
        encoder.summary(&[], &summary, None);
        encoder.histogram(&[&block(&[("le", "1")])], &histogram, None);
        open(encoder, "s", Kind::Summary);
        encoder.summary(&[&block(&[("quantile", "1")])], &summary, None);
        assert_eq!(encoder.refused_samples(), 7);
    });
    assert!(page.samples.is_empty());
}

#[test]
fn help_is_escaped_as_each_format_wants() {
    let help = "a \"b\" \\ \\n\nc";
    let write = |encoder: &mut Encoder| one(encoder, Family::new("a", help, Kind::Unknown));
    let plain = "# HELP a a \"b\" \\\\ \\\\n\\nc\n# TYPE a untyped\na 1\n";
    let quoted = "# HELP a a \\\"b\\\" \\\\ \\\\n\\nc\n# TYPE a unknown\na 1\n# EOF\n";
    assert_eq!(text(Format::Text004, write), plain);
    assert_eq!(text(Format::OpenMetrics100, write), quoted);
    for format in FORMATS {
        assert_eq!(parse(format, &page(format, write)).families["a"].help.as_deref(), Some(help));
    }
}

#[test]
fn created_travels_in_protobuf_alone() {
    let times = [
        (UNIX_EPOCH + Duration::new(1_795_000_000, 5), (1_795_000_000, 5)),
        (UNIX_EPOCH, (0, 0)),
        (UNIX_EPOCH - Duration::from_millis(1250), (-2, 750_000_000)),
        (UNIX_EPOCH - Duration::from_secs(2), (-2, 0)),
    ];
    for (time, expect) in times {
        let write = |encoder: &mut Encoder| {
            open(encoder, "c_total", Kind::Counter);
            encoder.sample(&[], Number::Integer(1), Some(time));
            open(encoder, "g", Kind::Gauge);
            encoder.sample(&[], Number::Integer(1), Some(time));
            open(encoder, "h", Kind::Histogram);
            encoder.histogram(&[], &Histogram { buckets: &[(1.0, 1)], sum: 1.0, count: 1 }, Some(time));
            open(encoder, "s", Kind::Summary);
            encoder.summary(&[], &Summary { quantiles: &[], sum: 1.0, count: 1 }, Some(time));
        };
        same_in_every_format(write);
        let created = parse(Format::Protobuf, &page(Format::Protobuf, write)).created;
        let names: Vec<_> = created.keys().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["c_total", "h", "s"]);
        assert!(created.values().all(|time| *time == expect), "{created:?}");
        assert!(!text(Format::OpenMetrics100, write).contains("_created"));
    }
}

#[test]
fn chunks_are_the_page() {
    let big = block(&[("v", &"x".repeat(1000))]);
    for format in FORMATS {
        let write = |encoder: &mut Encoder, chunks: &mut Vec<Vec<u8>>| {
            for family in 0..5 {
                open(encoder, &format!("m{family}"), Kind::Gauge);
                for n in 0..100 {
                    let own = block(&[("n", &n.to_string())]);
                    encoder.sample(&[&big, &own], Number::Integer(n), None);
                    if encoder.is_chunk_ready() {
                        chunks.push(encoder.take());
                    }
                }
            }
            encoder.finish();
            chunks.push(encoder.take());
        };
        let mut chunks = Vec::new();
        write(&mut Encoder::new(format), &mut chunks);
        // Protobuf grows by families, of which each is larger than a chunk here.
        assert!(chunks.len() >= 4, "{format:?}: {}", chunks.len());
        if format != Format::Protobuf {
            assert!(chunks.iter().all(|chunk| chunk.len() < CHUNK_BYTES + 2048));
        }
        assert_eq!(parse(format, &chunks.concat()).samples.len(), 500);
    }
}
