//! Alerts for real: containers that fare badly, through a Prometheus with our rules and an Alertmanager with our configuration, to
//! webhooks.

mod chain;

use std::time::Duration;

use chain::{Alertmanager, Message, Prometheus, Webhook};

use crate::harness::{Container, Scope, await_within, is_tried_here};

/// Until a message has come: scrapes and evaluations every second, ten seconds in which Alertmanager waits for more of the same, and what a
/// busy machine adds.
const SOON: Duration = Duration::from_secs(120);

/// No waiting, so that what is ill is told at once.
const SET: [&str; 3] =
    ["alert.MemoryNearLimit.for=2s", "alert.CpuThrottled.for=2s", "alert.ExporterDown.for=2s"];

/// Containers that fare badly, each in its own way, and one that is well.
fn containers(scope: &Scope) -> [Container<'_>; 5] {
    let memory = ["-m", "64m", "--memory-swap", "64m", "--shm-size", "64m"];
    let full = "dd if=/dev/zero of=/dev/shm/full bs=1M count=60; exec sleep 100000";
    [
        scope.run("full", &memory, full),
        scope.run("busy", &["--cpus", "0.05"], "while :; do :; done"),
        scope.sleeper("killed", &["-m", "32m", "--memory-swap", "32m"]),
        scope.run("looping", &["--restart", "always"], "exit 3"),
        scope.sleeper("well", &["-m", "64m", "--cpus", "1"]),
    ]
}

fn await_message(webhook: &Webhook, what: &str, find: impl Fn(&Message) -> bool) -> Message {
    await_within(SOON, what, || webhook.messages().into_iter().find(&find))
}

#[test]
fn what_befalls_containers_reaches_a_webhook_through_a_real_alertmanager() {
    if !is_tried_here("alerts that fire for real") {
        return;
    }
    let Some(scope) = Scope::new("alerts") else { return };
    let webhook = Webhook::start();
    let Some(alertmanager) = Alertmanager::start(&webhook) else { return };
    let exporter = scope.exporter().start();
    let Some(prometheus) = Prometheus::start(exporter.address, &alertmanager, &SET) else { return };
    let [full, busy, killed, looping, well] = containers(&scope);
    // A kill that is there at the first scrape is no rise.
    let seen = format!("container_oom_events_total{{container_name=\"{}\"}} == 0", killed.name);
    await_within(SOON, "Prometheus has seen the container before its kill", || {
        prometheus.yields(&seen).then_some(())
    });
    assert!(!killed.exec("dd if=/dev/zero of=/dev/null bs=96M count=1").0, "dd survived");

    for (alert, container) in [
        ("MemoryNearLimit", &full),
        ("CpuThrottled", &busy),
        ("OomKilled", &killed),
        ("RestartLoop", &looping),
    ] {
        let name = &container.name;
        let what = format!("{alert} of {name} reaches Slack");
        let message = await_message(&webhook, &what, |message| {
            message.is_of(alert) && message.text().contains(name.as_str())
        });
        assert_eq!(message.path, "/slack");
        assert_eq!(message.json["channel"], "#warnings", "{message:?}");
        assert!(message.text().contains(&format!("docs/runbooks/{alert}.md")), "{message:?}");
    }
    let address = exporter.address;
    drop(exporter);
    let down = |path: &'static str| {
        let what = format!("ExporterDown reaches {path}");
        await_message(&webhook, &what, move |message| message.path == path && message.is_of("ExporterDown"))
    };
    let slack = down("/slack");
    assert_eq!(slack.json["channel"], "#critical-alerts", "{slack:?}");
    assert!(slack.text().contains(&address.to_string()), "{slack:?}");
    let page = down("/pagerduty");
    assert_eq!(page.json["event_action"], "trigger", "{page:?}");
    assert_eq!(page.json["payload"]["severity"], "critical", "{page:?}");
    assert_eq!(page.json["routing_key"], chain::ROUTING_KEY, "the key is in a file");
    let about_well = webhook.messages().into_iter().find(|message| message.text().contains(&well.name));
    assert!(about_well.is_none(), "{about_well:?}");
}

#[test]
fn warnings_of_an_instance_are_held_back_while_its_exporter_is_down() {
    if !is_tried_here("alerts that are held back") {
        return;
    }
    let webhook = Webhook::start();
    let Some(alertmanager) = Alertmanager::start(&webhook) else { return };
    for (source, instance) in [("ExporterDown", "a:1"), ("ServiceDown", "b:1")] {
        alertmanager.fire(&[("alertname", source), ("severity", "critical"), ("instance", instance)]);
    }
    for instance in ["a:1", "b:1", "c:1"] {
        for severity in ["warning", "critical"] {
            alertmanager.fire(&[("alertname", "Other"), ("severity", severity), ("instance", instance)]);
        }
    }
    let held_back = await_within(SOON, "Alertmanager has sorted all of them", || {
        let alerts = alertmanager.alerts();
        let sorted = |alert: &serde_json::Value| alert["status"]["state"] != "unprocessed";
        let mut held_back: Vec<String> = alerts
            .iter()
            .filter(|alert| alert["status"]["state"] == "suppressed")
            .map(|alert| {
                format!("{} {}", alert["labels"]["severity"], alert["labels"]["instance"]).replace('"', "")
            })
            .collect();
        held_back.sort();
        (alerts.len() == 8 && alerts.iter().all(sorted)).then_some(held_back)
    });
    assert_eq!(held_back, ["warning a:1", "warning b:1"]);
}
