//! Obligation 1, the rest of it: connections that are refused or cut; and what is sent over them.

use super::{receiver::Door, *};

#[tokio::test(start_paused = true)]
async fn refused_and_cut_connections_are_tried_again() {
    for protocol in PROTOCOLS {
        for reply in [Reply::Cut, Reply::CutBody] {
            let (stats, seen) = send_one(settings(protocol), [reply.clone()]).await;
            assert_eq!((stats.exported, failed(&stats), seen.len()), (7, vec![], 2), "{protocol} {reply:?}");
        }
        let (client, receiver) = client(settings(protocol), []);
        receiver.doors([Door::Refused, Door::Refused]);
        client.submit(payload("one", 7));
        let stats = settled(&client).await;
        assert_eq!((stats.exported, failed(&stats)), (7, vec![]), "{protocol}");
        assert_eq!((receiver.dials().len(), receiver.seen().len()), (3, 1), "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_and_replaced_without_a_failure_when_the_receiver_closed_it() {
    for protocol in PROTOCOLS {
        let (client, receiver) = client(settings(protocol), []);
        for text in ["one", "two"] {
            client.submit(payload(text, 1));
            settled(&client).await;
        }
        assert_eq!(receiver.dials().len(), 1, "{protocol}");
        receiver.close_all();
        let before = tokio::time::Instant::now();
        client.submit(payload("three", 1));
        let stats = settled(&client).await;
        assert_eq!((stats.exported, failed(&stats), receiver.dials().len()), (3, vec![], 2), "{protocol}");
        // At once: no backoff for a connection that was only old.
        assert!(before.elapsed().as_millis() < 10, "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_those_of_the_protocol() {
    let mut http = values(Protocol::HttpProtobuf, "http://me:pw@receiver:4318/base/");
    http.headers =
        Some(Said::new(Headers::parse("x-scope=team,user-agent=mine").expect("headers"), "the test"));
    let (_, seen) = send_one(http.resolve().expect("settings").expect("an endpoint"), []).await;
    let header = |name: &str| seen[0].headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(seen[0].uri, "/base/v1/metrics");
    assert_eq!(header("host"), Some("receiver:4318"));
    assert_eq!(header("content-type"), Some("application/x-protobuf"));
    assert_eq!(header("content-length"), Some("3"));
    assert_eq!(header("content-encoding"), None);
    assert_eq!(header("authorization"), Some("Basic bWU6cHc="));
    assert_eq!((header("x-scope"), header("user-agent")), (Some("team"), Some("mine")));

    let (_, seen) = send_one(settings(Protocol::Grpc), []).await;
    let header = |name: &str| seen[0].headers.get(name).and_then(|value| value.to_str().ok());
    let path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    assert_eq!(seen[0].uri, format!("http://receiver:4318{path}"));
    assert_eq!((header("content-type"), header("te")), (Some("application/grpc"), Some("trailers")));
    assert!(header("user-agent").is_some_and(|agent| agent.starts_with("otlp-client/")));
}
