//! `Accept` → format and `Content-Type`, against what Prometheus servers, browsers and strangers send.

use exposition::{Format, negotiate};
use proptest::prelude::*;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OM_0: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";
const OM_1: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROTO: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

#[test]
fn accept_to_content_type() {
    let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let om = "application/openmetrics-text";
    let table = [
        // Prometheus 3, default: text 1.0.0 is not ours.
        (
            format!(
                "{om};version=1.0.0;escaping=allow-utf-8;q=0.6,{om};version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
            ),
            format!("{OM_1}; escaping=allow-utf-8"),
        ),
        // Prometheus 3 with created timestamps or native histograms.
        (
            format!(
                "{proto};escaping=allow-utf-8;q=0.7,{om};version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.1"
            ),
            format!("{PROTO}; escaping=allow-utf-8"),
        ),
        // Prometheus 2.42, without and with native histograms.
        (
            format!("{om};version=1.0.0,{om};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            OM_1.into(),
        ),
        (format!("{proto},{om};version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), PROTO.into()),
        // Escaping schemes of the server's configuration.
        (format!("{om};version=1.0.0;escaping=underscores"), format!("{OM_1}; escaping=underscores")),
        (format!("{om};version=1.0.0;escaping=values"), format!("{OM_1}; escaping=values")),
        (format!("{om};version=1.0.0;escaping=dots"), format!("{OM_1}; escaping=underscores")),
        (format!("{om};version=1.0.0;escaping=martian"), OM_1.into()),
        ("text/plain;version=0.0.4;escaping=underscores".into(), format!("{TEXT}; escaping=underscores")),
        // Versions.
        (format!("{om};version=0.0.1"), OM_0.into()),
        (om.into(), OM_1.into()),
        (format!("{om};version=2.0.0,text/plain;version=0.0.4;q=0.1"), TEXT.into()),
        (format!("text/plain;version=1.0.0,{om};version=1.0.0;q=0.1"), OM_1.into()),
        (format!("{om};version=2.0.0"), TEXT.into()),
        ("text/plain".into(), TEXT.into()),
        // Protobuf that is not ours: another message, encoding, or neither.
        (proto.replace("delimited", "text"), TEXT.into()),
        (proto.replace("MetricFamily", "Other"), TEXT.into()),
        ("application/vnd.google.protobuf".into(), TEXT.into()),
        // Wildcards, browsers, curl.
        ("*/*".into(), TEXT.into()),
        ("text/*".into(), TEXT.into()),
        ("application/*".into(), OM_1.into()),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8".into(), TEXT.into()),
        (format!("*/*,{om}"), OM_1.into()),
        (format!("text/plain;q=0,*/*;q=0.5,{om};q=0.4"), OM_1.into()),
        // Quality values.
        (format!("{om};version=0.0.1,{om};version=1.0.0"), OM_0.into()),
        (format!("{om};q=0.5,text/plain;q=0.6"), TEXT.into()),
        (format!("{om};q=0.501,text/plain;q=0.5"), OM_1.into()),
        (format!("{om};q=0,text/plain;q=0.1"), TEXT.into()),
        (format!("{om};q=0"), TEXT.into()),
        (format!("{om};q=0.000"), TEXT.into()),
        (format!("{om};q=high,text/plain;q=0.1"), TEXT.into()),
        (format!("{om};q=2,text/plain;q=0.1"), TEXT.into()),
        (format!("{om};q=-1,text/plain;q=0.1"), TEXT.into()),
        (format!("{om};q=1.000;version=1.0.0"), OM_1.into()),
        // Spelling.
        ("  Application/OpenMetrics-Text ; Version=\"1.0.0\" ; Q=1 ".into(), OM_1.into()),
        (format!("x/y;note=\"a,{om};\\\"q=1\",text/plain;q=0.1,{om};q=0.05"), TEXT.into()),
        (format!("x/y;note=\"a,text/plain;\\\"\",{om};q=0.05"), OM_1.into()),
        // Nothing, and nonsense.
        (String::new(), TEXT.into()),
        (",,;;=,q=1".into(), TEXT.into()),
        ("\"".into(), TEXT.into()),
        (format!("\"{om}"), TEXT.into()),
        ("é/é;q=é".into(), TEXT.into()),
        // Past the bounds of what is looked at.
        (format!("{}{om}", "x/y,".repeat(1_000_000)), TEXT.into()),
        (format!("text/plain;q=0.1,{}{om}", ";".repeat(100_000)), TEXT.into()),
        (format!("{}{om}", "x/y,".repeat(40)), TEXT.into()),
        (format!("x/y;note={},{om}", "a".repeat(5000)), TEXT.into()),
        ("€".repeat(100_000), TEXT.into()),
    ];
    for (accept, expect) in table {
        let shown: String = accept.chars().take(200).collect();
        assert_eq!(negotiate(Some(&accept)).content_type(), expect, "Accept: {shown}");
    }
    assert_eq!(negotiate(None).content_type(), TEXT);
    assert_eq!(Format::OpenMetrics001.content_type(), OM_0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_accept_has_an_answer(accept in r#"([a-z*/;=,." \\]|q=|openmetrics-text|version=1.0.0|\PC){0,60}"#) {
        prop_assert!(!negotiate(Some(&accept)).content_type().is_empty());
    }
}
