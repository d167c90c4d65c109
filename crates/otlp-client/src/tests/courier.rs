//! Payloads without a queue: their outcome is told to whoever sends them.

use std::time::Duration;

use super::*;
use crate::{Courier, PAYLOAD_BYTES_MAX};

fn courier(settings: Settings, replies: impl IntoIterator<Item = Reply>) -> (Courier, Arc<Receiver>) {
    let receiver = Arc::new(Receiver::new(settings.protocol, replies));
    (Courier::with(settings, Arc::new(Inside(receiver.clone()))).expect("a courier"), receiver)
}

#[test]
fn traces_have_an_endpoint_of_their_own_and_share_the_base() {
    let check = |values: &Values, expect: Option<&str>| {
        let settings = values.resolve_traces().expect("usable");
        let found = settings.map(|settings| format!("{} {}", settings.protocol, settings.endpoint));
        assert_eq!(found.as_deref(), expect);
    };
    let said = |text: &str| Some(Said::new(text.to_owned(), "the test"));
    let mut values = Values { metrics_endpoint: said("http://m/x"), ..Values::default() };
    check(&values, None);
    values.grpc_endpoint = said("http://g:4317");
    check(&values, Some("grpc http://g:4317"));
    values.endpoint = said("http://b:4318/base");
    check(&values, Some("http/protobuf http://b:4318/base/v1/traces"));
    values.traces_endpoint = said("http://t:4318/own");
    check(&values, Some("http/protobuf http://t:4318/own"));
    assert_eq!(resolved(&values).endpoint.to_string(), "http://m:80/x");
    values.protocol = Some(Said::new(Protocol::Grpc, "the test"));
    let path = values.resolve_traces().expect("usable").expect("an endpoint").endpoint.path().to_owned();
    assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
}

#[tokio::test(start_paused = true)]
async fn the_outcome_is_told_after_all_tries() {
    for protocol in PROTOCOLS {
        let busy = match protocol {
            Protocol::Grpc => Reply::Code(14, None),
            Protocol::HttpProtobuf => Reply::Status(503, vec![]),
        };
        let (courier, receiver) = courier(settings(protocol), [busy]);
        assert_eq!(courier.deliver(&payload("one", 7)).await, Ok(7));
        assert_eq!(receiver.seen().len(), 2, "one try more");
        let refused = match protocol {
            Protocol::Grpc => Reply::Code(3, None),
            Protocol::HttpProtobuf => Reply::Status(400, vec![]),
        };
        let (courier, _) = self::courier(settings(protocol), [refused]);
        assert_eq!(courier.deliver(&payload("one", 7)).await, Err(DropReason::NotRetryable));
        let large = Payload { body: vec![0; PAYLOAD_BYTES_MAX + 1].into(), points: 1 };
        assert_eq!(courier.deliver(&large).await, Err(DropReason::TooLarge));
        assert_eq!(courier.deliver(&payload("two", 1)).await, Ok(1), "the next is tried");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_asked_for_holds_for_those_behind_and_keeps_nobody_waiting() {
    let later = Reply::Status(503, vec![("retry-after", "60".to_owned())]);
    let (courier, receiver) = courier(settings(Protocol::HttpProtobuf), [later]);
    assert_eq!(courier.deliver(&payload("one", 1)).await, Err(DropReason::Timeout));
    let asked = tokio::time::Instant::now();
    assert_eq!(courier.deliver(&payload("two", 1)).await, Err(DropReason::Timeout));
    assert_eq!((asked.elapsed(), receiver.seen().len()), (Duration::ZERO, 1));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(courier.deliver(&payload("three", 1)).await, Ok(1));
    assert_eq!(receiver.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn other_settings_hold_for_the_next() {
    let (courier, receiver) = courier(settings(Protocol::HttpProtobuf), []);
    courier.deliver(&payload("one", 1)).await.expect("taken");
    let mut values = values(Protocol::HttpProtobuf, "http://receiver:4318/other");
    values.headers = Some(Said::new(Headers::parse("key=1").expect("headers"), "the test"));
    courier.reconfigure(resolved(&values)).expect("usable");
    courier.deliver(&payload("two", 1)).await.expect("taken");
    let seen = receiver.seen();
    assert!(!seen[0].headers.contains_key("key") && seen[1].headers["key"] == "1");
}
