//! Alertmanager's configuration, as amtool judges it.

use std::path::{Path, PathBuf};

use container_mixin::alerts;

use crate::{run, said};

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/alertmanager/alertmanager.yml")
}

const PACKAGE: &str = "prometheus-alertmanager";

#[test]
fn amtool_accepts_the_configuration() {
    let config = config();
    let Some(output) = run(PACKAGE, "amtool", &["check-config", &config.display().to_string()]) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("4 receivers"), "{}", said(&output));
}

#[test]
fn every_alert_is_routed_by_its_severity() {
    let config = format!("--config.file={}", config().display());
    let receivers = [("critical", "critical"), ("warning", "warnings"), ("info", "info")];
    let routed = |labels: &[String], receiver: &str| {
        let verify = format!("--verify.receivers={receiver}");
        let mut arguments = vec!["config", "routes", "test", &config, &verify];
        arguments.extend(labels.iter().map(String::as_str));
        let output = run(PACKAGE, "amtool", &arguments)?;
        assert!(output.status.success(), "{labels:?} should reach {receiver}: {}", said(&output));
        Some(())
    };
    for alert in alerts::all().into_iter().flat_map(|group| group.alerts) {
        let severity = alert.severity.as_str();
        let receiver = receivers.iter().find(|(of, _)| *of == severity).map(|(_, receiver)| *receiver);
        let labels = alert.added_labels().into_iter().map(|(name, value)| format!("{name}={value}"));
        let labels: Vec<String> = labels.chain([format!("alertname={}", alert.name)]).collect();
        if routed(&labels, receiver.expect("each has one")).is_none() {
            return;
        }
    }
    routed(&["severity=unheard-of".to_owned()], "alerts");
}

/// What no tool of Alertmanager prints.
#[test]
fn times_and_channels_are_those_that_were_agreed() {
    let text = std::fs::read_to_string(config()).expect("it is there");
    for expect in [
        "resolve_timeout: 5m",
        "group_by: [alertname, cluster, service]",
        "receiver: alerts\n  group_by: [alertname, cluster, service]\n  group_wait: 10s\n  group_interval: 10s\n  repeat_interval: 12h\n",
        "receiver: critical\n      group_wait: 0s\n      repeat_interval: 5m\n",
        "receiver: warnings\n      repeat_interval: 1h\n",
        "receiver: info\n      repeat_interval: 24h\n",
        "slack_api_url_file: /run/secrets/slack_api_url",
        "routing_key_file: /run/secrets/pagerduty_routing_key",
        "channel: '#alerts'",
        "channel: '#critical-alerts'",
        "channel: '#warnings'",
        "channel: '#info'",
        "source_matchers: ['alertname=\"ServiceDown\"', 'severity=\"critical\"']\n    target_matchers: ['severity=\"warning\"']\n    equal: [cluster, instance]",
        "source_matchers: ['alertname=\"ExporterDown\"']\n    target_matchers: ['severity=\"warning\"']\n    equal: [cluster, instance]",
    ] {
        assert!(text.contains(expect), "{expect}");
    }
    // The alerts that it names are there.
    let names: Vec<&str> =
        alerts::all().into_iter().flat_map(|group| group.alerts).map(|alert| alert.name).collect();
    for name in text.split("alertname=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(names.contains(&name), "{name}");
    }
}
