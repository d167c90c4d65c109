//! Whole pages, to be read by eye: every change of names, labels or order shows here.

mod support;

use std::sync::Arc;

use sink_prometheus::{Options, PrometheusSink};
use support::{OPEN_METRICS, bytes, small, text};

fn sink() -> PrometheusSink {
    let mut options = Options::default();
    options.on_series = vec!["com.docker.compose.service".to_owned()];
    PrometheusSink::new(options)
}

const GROUPS: &[(&str, &str)] = &[
    ("collect[]", "cpu"),
    ("collect[]", "memory"),
    ("collect[]", "io"),
    ("collect[]", "network"),
    ("collect[]", "host"),
];

#[test]
fn native() {
    insta::assert_snapshot!(text(&sink(), &Arc::new(small()), GROUPS));
}

#[test]
fn native_state() {
    insta::assert_snapshot!(text(&sink(), &Arc::new(small()), &[("collect[]", "state")]));
}

#[test]
fn open_metrics() {
    let page = bytes(&sink(), &Arc::new(small()), Some(OPEN_METRICS), GROUPS);
    insta::assert_snapshot!(String::from_utf8(page).expect("UTF-8"));
}

#[test]
fn cadvisor() {
    let query = [GROUPS, &[("profile", "cadvisor")]].concat();
    insta::assert_snapshot!(text(&sink(), &Arc::new(small()), &query));
}

#[test]
fn cadvisor_state() {
    let query = [("collect[]", "state"), ("profile", "cadvisor")];
    insta::assert_snapshot!(text(&sink(), &Arc::new(small()), &query));
}
