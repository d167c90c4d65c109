//! Obligations 1, 3 and 6: which answers are tried again, what a partial success means, how long an answer may be.

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use flate2::write::GzEncoder;

use super::*;

/// Two requests and a delivery, or one and a drop.
async fn check_retry(protocol: Protocol, reply: Reply, is_retried: bool) {
    let (stats, seen) = send_one(settings(protocol), [reply.clone()]).await;
    if is_retried {
        assert_eq!((seen.len(), stats.exported, failed(&stats)), (2, 7, vec![]), "{reply:?}");
        assert_eq!(seen[1].message, "one");
    } else {
        let expect = vec![(DropReason::NotRetryable, 7)];
        assert_eq!((seen.len(), stats.exported, failed(&stats)), (1, 0, expect), "{reply:?}");
    }
    assert_eq!(stats.attempts, seen.len() as u64);
    assert_eq!(stats.operations, 1);
}

#[tokio::test(start_paused = true)]
async fn http_retries_exactly_429_502_503_and_504() {
    for status in (300..=599).filter(|status| *status != 304) {
        let is_retried = matches!(status, 429 | 502 | 503 | 504);
        check_retry(Protocol::HttpProtobuf, Reply::Status(status, vec![]), is_retried).await;
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_retries_exactly_the_codes_of_the_specification() {
    for code in 1..=17 {
        let is_retried = matches!(code, 1 | 4 | 10 | 11 | 14 | 15);
        check_retry(Protocol::Grpc, Reply::Code(code, None), is_retried).await;
    }
    check_retry(Protocol::Grpc, Reply::Code(8, Some(Duration::from_secs(1))), true).await;
    check_retry(Protocol::Grpc, Reply::Code(13, Some(Duration::from_secs(1))), false).await;
}

#[tokio::test(start_paused = true)]
async fn grpc_understands_proxies_that_answer_in_http() {
    for (status, is_retried) in
        [(400, false), (401, false), (404, false), (429, true), (502, true), (503, true), (504, true)]
    {
        check_retry(Protocol::Grpc, Reply::Status(status, vec![]), is_retried).await;
    }
    check_retry(Protocol::Grpc, Reply::Status(200, vec![]), false).await;
}

#[tokio::test(start_paused = true)]
async fn a_partial_success_is_never_retried_and_splits_the_count() {
    for protocol in PROTOCOLS {
        for (rejected, expect) in [(3, (4, 3)), (7, (0, 7)), (900, (0, 7)), (0, (7, 0)), (-5, (7, 0))] {
            let (stats, seen) =
                send_one(settings(protocol), [Reply::Partial { rejected, message: "no" }]).await;
            assert_eq!(seen.len(), 1, "{protocol} {rejected}");
            assert_eq!((stats.exported, stats.failed(DropReason::Rejected)), expect, "{protocol} {rejected}");
        }
    }
}

/// Of a success, whose body is the message by gRPC.
async fn check_body(
    protocol: Protocol,
    body: Bytes,
    headers: &[(&'static str, &str)],
    expect: Option<DropReason>,
) {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let (client, receiver) = client(settings(protocol), [Reply::Body(body, headers.clone())]);
    client.submit(payload("one", 7));
    // The next is taken: nothing of the first is left on the connection.
    client.submit(payload("two", 5));
    let stats = settled(&client).await;
    let seen = receiver.seen();
    assert_eq!(seen.iter().map(|seen| &*seen.message).collect::<Vec<_>>(), [b"one", b"two"], "{headers:?}");
    match expect {
        Some(reason) => assert_eq!((stats.exported, failed(&stats)), (5, vec![(reason, 7)]), "{headers:?}"),
        None => assert_eq!((stats.exported, failed(&stats)), (12, vec![]), "{headers:?}"),
    }
}

fn zeros(len: usize) -> Bytes {
    // A message of one unknown field, so that it is one.
    let mut message = vec![0x7a];
    let mut left = len - 6;
    for _ in 0..4 {
        message.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    message.push(left as u8);
    message.resize(len, 0);
    message.into()
}

fn gzipped(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory").into()
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_read_up_to_four_mebibytes_after_decompression() {
    let (fits, too_long) = (zeros((4 << 20) - 5), zeros(5 << 20));
    let http = [("content-type", "application/x-protobuf")];
    check_body(Protocol::HttpProtobuf, fits.clone(), &http, None).await;
    check_body(Protocol::HttpProtobuf, too_long.clone(), &http, Some(DropReason::BadAnswer)).await;
    let grpc = [("content-type", "application/grpc")];
    check_body(Protocol::Grpc, fits.clone(), &grpc, None).await;
    check_body(Protocol::Grpc, too_long.clone(), &grpc, Some(DropReason::BadAnswer)).await;
    for (protocol, encoding) in
        [(Protocol::HttpProtobuf, "content-encoding"), (Protocol::Grpc, "grpc-encoding")]
    {
        let headers = [("content-type", "application/x-protobuf"), (encoding, "gzip")];
        check_body(protocol, gzipped(&fits), &headers, None).await;
        check_body(protocol, gzipped(&too_long), &headers, Some(DropReason::BadAnswer)).await;
        check_body(protocol, Bytes::from_static(b"no gzip"), &headers, Some(DropReason::BadAnswer)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_of_otlp_is_told_apart() {
    let page = Bytes::from_static(b"<html>welcome</html>");
    let http = Protocol::HttpProtobuf;
    check_body(
        http,
        page.clone(),
        &[("content-type", "text/html; charset=utf-8")],
        Some(DropReason::BadAnswer),
    )
    .await;
    check_body(
        http,
        page.clone(),
        &[("content-type", "application/x-protobuf")],
        Some(DropReason::BadAnswer),
    )
    .await;
    // Receivers that answer in a word or in JSON took what they were sent.
    check_body(http, Bytes::from_static(b"ok"), &[("content-type", "text/plain")], None).await;
    check_body(http, Bytes::from_static(b"{}"), &[("content-type", "application/json")], None).await;
    check_body(http, Bytes::from_static(b"{}"), &[], None).await;
    check_body(Protocol::Grpc, page, &[("content-type", "application/grpc")], Some(DropReason::BadAnswer))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_long_body_does_not_change_what_a_status_says() {
    // The status is retryable; that its body is too long closes the connection only.
    let (client, receiver) =
        client(settings(Protocol::HttpProtobuf), [Reply::LongStatus(503), Reply::LongStatus(400)]);
    client.submit(payload("one", 7));
    let stats = settled(&client).await;
    assert_eq!(receiver.seen().len(), 2);
    assert_eq!(failed(&stats), [(DropReason::NotRetryable, 7)]);
}
