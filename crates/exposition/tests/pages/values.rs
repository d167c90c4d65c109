//! Numbers, names and label text, by table.

use exposition::{
    Encoder, Family, Format, Histogram, Kind, LabelBlock, LabelError, Number, is_label_name, is_metric_name,
    lossy, sanitize_label_name, sanitize_metric_name,
};

use crate::{block, page, parse, same_in_every_format, text};

fn written(value: Number) -> String {
    let line = text(Format::Text004, |encoder| {
        encoder.family(&Family::new("a", "", Kind::Gauge)).expect("a legal name");
        encoder.sample(&[], value, None);
    });
    line.rsplit_once(' ').expect("a value").1.trim_end().to_owned()
}

#[test]
fn numbers_as_text() {
    let table = [
        (Number::Integer(0), "0"),
        (Number::Integer(u64::MAX), "18446744073709551615"),
        (Number::Nanoseconds(0), "0"),
        (Number::Nanoseconds(1), "0.000000001"),
        (Number::Nanoseconds(10), "0.00000001"),
        (Number::Nanoseconds(999_999_999), "0.999999999"),
        (Number::Nanoseconds(1_500_000_000), "1.5"),
        (Number::Nanoseconds(12_000_000_000), "12"),
        (Number::Nanoseconds(100_000_000_000), "100"),
        (Number::Nanoseconds(100_100_000_000), "100.1"),
        (Number::Nanoseconds(u64::MAX), "18446744073.709551615"),
        (Number::Float(0.25), "0.25"),
        (Number::Float(-1.0), "-1.0"),
        (Number::Float(f64::INFINITY), "+Inf"),
        (Number::Float(f64::NEG_INFINITY), "-Inf"),
        (Number::Float(f64::NAN), "NaN"),
        (Number::Float(-f64::NAN), "NaN"),
        (Number::Float(f64::MIN_POSITIVE), "2.2250738585072014e-308"),
        (7.into(), "7"),
        (0.5.into(), "0.5"),
    ];
    for (number, expect) in table {
        assert_eq!(written(number), expect, "{number:?}");
    }
}

#[test]
fn special_numbers_are_the_same_in_every_format() {
    let numbers = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300, -1e-300, 5e-324, 0.1 + 0.2];
    same_in_every_format(|encoder| {
        encoder.family(&Family::new("a", "", Kind::Gauge)).expect("a legal name");
        for (n, number) in numbers.into_iter().enumerate() {
            encoder.sample(&[&block(&[("n", &n.to_string())])], Number::Float(number), None);
        }
    });
}

/// A server that reads protobuf spells bounds itself; the text formats must make the same series.
#[test]
fn bounds_are_spelled_as_servers_spell_them() {
    let bounds = [-1.5, 0.0, 0.00001, 0.0001, 0.005, 0.5, 1.0, 10.0, 123456.0, 1e6, 1234567.0, 1e21, 1.5e-7];
    let buckets = bounds.map(|bound| (bound, 1));
    let write = |encoder: &mut Encoder| {
        encoder.family(&Family::new("h", "", Kind::Histogram)).expect("a legal name");
        encoder.histogram(
            &[&block(&[("a", "b")])],
            &Histogram { buckets: &buckets, sum: 0.5, count: 2 },
            None,
        );
    };
    for format in [Format::Text004, Format::OpenMetrics100] {
        let page = text(format, write);
        let spelled: Vec<_> = page
            .lines()
            .filter_map(|line| line.split_once("le=\"")?.1.split_once('"').map(|(le, _)| le))
            .collect();
        let expect = [
            "-1.5",
            "0.0",
            "1e-05",
            "0.0001",
            "0.005",
            "0.5",
            "1.0",
            "10.0",
            "123456.0",
            "1e+06",
            "1.234567e+06",
            "1e+21",
            "1.5e-07",
            "+Inf",
        ];
        assert_eq!(spelled, expect);
        assert!(page.contains("h_bucket{a=\"b\",le=\"+Inf\"} 2\nh_sum{a=\"b\"} 0.5\nh_count{a=\"b\"} 2\n"));
    }
}

#[test]
fn an_infinite_bucket_is_written_once() {
    let page = same_in_every_format(|encoder| {
        encoder.family(&Family::new("h", "", Kind::Histogram)).expect("a legal name");
        let buckets = &[(0.5, 1), (f64::INFINITY, 3)];
        encoder.histogram(&[], &Histogram { buckets, sum: 2.0, count: 3 }, None);
    });
    assert_eq!(page.samples.len(), 4);
}

#[test]
fn names() {
    let table = [
        ("a", "a", "a"),
        ("com.docker.compose.project", "com_docker_compose_project", "com_docker_compose_project"),
        ("a-b/c d", "a_b_c_d", "a_b_c_d"),
        ("1a", "_1a", "_1a"),
        ("", "_", "_"),
        ("é€", "__", "_"),
        ("a:b", "a:b", "a_b"),
        ("__name__", "__name__", "_name__"),
        ("..a", "__a", "_a"),
        ("_a", "_a", "_a"),
        ("___", "___", "_"),
        ("le", "le", "le"),
        ("a\0\n\"b", "a___b", "a___b"),
    ];
    for (name, metric, label) in table {
        assert_eq!(sanitize_metric_name(name), metric, "{name:?}");
        assert_eq!(sanitize_label_name(name), label, "{name:?}");
        assert!(is_metric_name(metric) && is_label_name(label), "{name:?}");
        assert_eq!(sanitize_label_name(label), label, "{name:?} twice");
        assert!(LabelBlock::new(&[(label, "")]).is_ok(), "{name:?}");
    }
}

#[test]
fn refused_labels_say_why() {
    let name = |name: &str| name.to_owned();
    let table = [
        (vec!["a.b"], LabelError::InvalidName { name: name("a.b") }),
        (vec!["a:b"], LabelError::InvalidName { name: name("a:b") }),
        (vec![""], LabelError::InvalidName { name: name("") }),
        (vec!["a", "__name__"], LabelError::ReservedName { name: name("__name__") }),
        (vec!["a", "b", "a"], LabelError::DuplicateName { name: name("a") }),
    ];
    for (names, expect) in table {
        let labels: Vec<_> = names.iter().map(|name| (name, "v")).collect();
        assert_eq!(LabelBlock::new(&labels), Err(expect), "{names:?}");
    }
}

#[test]
fn hostile_label_values_survive() {
    let long = "\"\\\n".repeat(350_000);
    let values = [
        "",
        "\"",
        "\\",
        "\n",
        "\\n",
        "\\\"",
        "a\0b",
        "\r\t\u{1}\u{85}\u{2028}",
        "},{",
        "é🦀\u{10ffff}",
        &long,
    ];
    let page = same_in_every_format(|encoder| {
        encoder.family(&Family::new("a", "", Kind::Gauge)).expect("a legal name");
        for (n, value) in values.into_iter().enumerate() {
            encoder.sample(
                &[&block(&[("v", value), ("n", &n.to_string())])],
                Number::Integer(n as u64),
                None,
            );
        }
    });
    for ((_, labels), number) in &page.samples {
        assert_eq!(labels["v"], values[f64::from_bits(*number) as usize]);
    }
    assert_eq!(page.samples.len(), values.len());
}

#[test]
fn bytes_that_are_not_utf8_become_replacement_characters() {
    let value = lossy(b"a\xff\xc3(b");
    assert_eq!(value, "a\u{fffd}\u{fffd}(b");
    let bytes = page(Format::Text004, |encoder| {
        encoder.family(&Family::new("a", "", Kind::Gauge)).expect("a legal name");
        encoder.sample(&[&block(&[("v", &value)])], Number::Integer(1), None);
    });
    assert_eq!(parse(Format::Text004, &bytes).value("a"), Some(1.0));
}

#[test]
fn a_block_costs_its_text_and_forty_bytes() {
    assert_eq!(size_of::<LabelBlock>(), 40);
    let block = block(&[("a", "1"), ("b", "x\"y")]);
    assert_eq!(block.as_str(), r#"a="1",b="x\"y""#);
    assert!(LabelBlock::default().is_empty());
}
