//! What is to leave by OTLP does not.

use collector_core::catalogue::ids;
use mixin::{About, Alert, Expr, Runbook, Setting, Severity, Signal, Step, Trial, above, below};

use super::{DOCTOR, ON_EXPORTER, RATE_MINUTES, RECEIVER, TARGET, by_minute, now, rate, select};

pub(super) fn alerts() -> Vec<Alert> {
    vec![queue_nearly_full(), dropping_data(), errors()]
}

const SAID: Step = Step::Shell(
    "What the exporter says of it: each kind of failure is logged when it begins and when it is over.",
    "journalctl --no-pager -u container-exporter | grep -i otlp | tail -20; docker logs container-exporter 2>&1 | grep -i otlp | tail -20",
);
const SETTINGS: Step = Step::Shell(
    "Where it sends to, and how, and which file or variable says so.",
    "container-exporter config show | grep -E 'otlp|otel'",
);

fn failed() -> Expr {
    rate(ids::OTLP_FAILED).sum_by(TARGET)
}

fn queue_nearly_full() -> Alert {
    const LIMIT: f64 = 4_194_304.0;
    Alert::new(
        "QueueNearlyFull",
        |chosen| now(ids::OTLP_QUEUE_BYTES).per(now(ids::OTLP_QUEUE_LIMIT)).gt(chosen.threshold()),
        ON_EXPORTER,
        Runbook::new(
            "More than 80 % of the bytes that may wait for the receiver of OTLP have waited for five minutes: it takes less than is sent, or nothing.",
            "None yet. When the queue is full, the oldest data is dropped.",
            &[
                RECEIVER,
                SAID,
                SETTINGS,
                Step::Query("How the queue went.", || now(ids::OTLP_QUEUE_BYTES)),
                Step::Query("Seconds that a request takes.", || rate(ids::OTLP_OPERATION_SECONDS).per(rate(ids::OTLP_OPERATIONS))),
                Step::Query("Tries for each request: above 1 they fail and are tried again.", || rate(ids::OTLP_REQUESTS).per(rate(ids::OTLP_OPERATIONS))),
            ],
            &[
                "Mend the receiver, or its way: what waits is then sent.",
                "If it is only slow, send compressed or less often, or leave out groups that nobody looks at.",
                "For longer outages to be bridged, let more wait: `otlp.queue_bytes_max`.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            Trial::new(
                About::Target,
                above(t),
                vec![
                    Signal::gauge(select(ids::OTLP_QUEUE_BYTES), below(t) * LIMIT, above(t) * LIMIT),
                    Signal::gauge(select(ids::OTLP_QUEUE_LIMIT), LIMIT, LIMIT).divides(),
                ],
            )
        },
    )
    .says("The queue in front of an OTLP receiver is nearly full.", "{value:percent} of the OTLP queue of the exporter at {instance} is used.")
    .setting(Setting::threshold(0.8, "share of the queue's bytes"))
    .wait_minutes(5)
}

fn dropping_data() -> Alert {
    Alert::new(
        "DroppingData",
        |chosen| rate(ids::OTLP_FAILED).gt(chosen.threshold()),
        ON_EXPORTER,
        Runbook::new(
            "Data points that were to leave by OTLP have been lost for five minutes; `reason` says how: the queue was full, the receiver refused them, \
             or the time for trying again was over.",
            "Whoever looks at the receiver's back end sees gaps. Prometheus' own scrapes are not concerned.",
            &[
                SAID,
                RECEIVER,
                SETTINGS,
                DOCTOR,
                Step::Query("Points lost in a second, by reason.", || rate(ids::OTLP_FAILED).sum_by(&["instance", "reason"])),
                Step::Query("Points delivered in a second.", || rate(ids::OTLP_EXPORTED)),
            ],
            &[
                "A receiver that refuses says why in its answer, which the exporter logs: credentials, a size limit, a wrong path.",
                "A receiver that is down: mend it. What was lost does not come again; counters go on from their true values.",
                "A queue that is full: see [QueueNearlyFull](QueueNearlyFull.md).",
            ],
        ),
        |chosen| {
            let each_second = above(chosen.threshold());
            let signal = Signal::counter(select(ids::OTLP_FAILED).eq("reason", "queue_full"), 0.0, by_minute(each_second));
            Trial::new(About::Target, each_second, vec![signal]).settles_after_minutes(RATE_MINUTES)
        },
    )
    .says("Data that was to leave by OTLP is lost.", "The exporter at {instance} loses {value:number} data points a second on the way to its OTLP receiver ({reason}).")
    .severity(Severity::Critical)
    .setting(Setting::threshold(0.0, "data points a second"))
    .wait_minutes(5)
}

fn errors() -> Alert {
    const POINTS: f64 = 1024.0;
    Alert::new(
        "OtlpErrors",
        |chosen| {
            let all = failed().plus(rate(ids::OTLP_EXPORTED).sum_by(TARGET));
            failed().per(all).gt(chosen.threshold())
        },
        ON_EXPORTER,
        Runbook::new(
            "More than 5 % of the data points that were to leave by OTLP were not delivered, for a quarter of an hour.",
            "Whoever looks at the receiver's back end sees gaps.",
            &[
                SAID,
                RECEIVER,
                SETTINGS,
                Step::Query("Points lost in a second, by reason.", || rate(ids::OTLP_FAILED).sum_by(&["instance", "reason"])),
                Step::Query("Tries for each request.", || rate(ids::OTLP_REQUESTS).per(rate(ids::OTLP_OPERATIONS))),
            ],
            &[
                "See [DroppingData](DroppingData.md): the same by amount.",
                "If only part is refused, the receiver has a limit (points of a request, series, rate): raise it, or send less.",
            ],
        ),
        |chosen| {
            let t = chosen.threshold();
            let of = |row| select(row);
            let (well, ill) = (below(t) * POINTS, above(t) * POINTS);
            Trial::new(
                About::Target,
                above(t),
                vec![
                    Signal::counter(of(ids::OTLP_FAILED).eq("reason", "rejected"), well, ill).divides(),
                    Signal::counter(of(ids::OTLP_EXPORTED), POINTS - well, POINTS - ill).divides(),
                ],
            )
            .settles_after_minutes(RATE_MINUTES)
        },
    )
    .says("Part of what leaves by OTLP does not arrive.", "{value:percent} of the data points of the exporter at {instance} are not delivered by OTLP.")
    .setting(Setting::threshold(0.05, "share of the data points"))
    .wait_minutes(15)
}
