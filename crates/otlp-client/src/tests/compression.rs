//! Obligation 7: gzip and zstd with the matching header, and receivers that refuse them.

use super::*;
use crate::Compression::{self, Gzip, None as Plain, Zstd};

fn compressing(protocol: Protocol, compression: Compression) -> Settings {
    Settings { compression, ..settings(protocol) }
}

fn refusal(protocol: Protocol) -> Reply {
    match protocol {
        Protocol::Grpc => Reply::Code(12, None),
        Protocol::HttpProtobuf => Reply::Status(415, vec![]),
    }
}

/// By which compressions the requests came.
fn compressions(protocol: Protocol, seen: &[Seen]) -> Vec<&str> {
    let header = match protocol {
        Protocol::Grpc => "grpc-encoding",
        Protocol::HttpProtobuf => "content-encoding",
    };
    seen.iter()
        .map(|seen| seen.headers.get(header).map_or("none", |value| value.to_str().expect("text")))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn bodies_are_compressed_and_say_how() {
    for protocol in PROTOCOLS {
        for compression in [Plain, Gzip, Zstd] {
            let (client, receiver) = client(compressing(protocol, compression), []);
            let text = "container_memory_usage_bytes ".repeat(20_000);
            client.submit(payload(&text, 7));
            let stats = settled(&client).await;
            let seen = receiver.seen();
            assert_eq!(compressions(protocol, &seen), [compression.as_str()]);
            assert!(seen[0].message == text, "{protocol} {compression}");
            if compression == Plain {
                assert_eq!(stats.body_bytes, text.len() as u64);
            } else {
                assert!(stats.body_bytes < text.len() as u64 / 50, "{compression}: {}", stats.body_bytes);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_a_compression_gets_the_next_and_is_not_asked_again() {
    for protocol in PROTOCOLS {
        let refuse = || refusal(protocol);
        let (client, receiver) = client(compressing(protocol, Zstd), [refuse()]);
        client.submit(payload("one", 7));
        client.submit(payload("two", 7));
        let stats = settled(&client).await;
        assert_eq!((stats.exported, failed(&stats)), (14, vec![]), "{protocol}");
        assert_eq!(compressions(protocol, &receiver.seen()), ["zstd", "gzip", "gzip"], "{protocol}");

        let (stats, seen) = send_one(compressing(protocol, Zstd), [refuse(), refuse()]).await;
        assert_eq!((stats.exported, failed(&stats)), (7, vec![]), "{protocol}");
        assert_eq!(compressions(protocol, &seen), ["zstd", "gzip", "none"], "{protocol}");

        let (stats, seen) = send_one(compressing(protocol, Gzip), [refuse()]).await;
        assert_eq!((stats.exported, compressions(protocol, &seen)), (7, vec!["gzip", "none"]), "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_everything_is_not_asked_twice_each_time() {
    for protocol in PROTOCOLS {
        let (client, receiver) = client(compressing(protocol, Gzip), []);
        receiver.always(Some(refusal(protocol)));
        for text in ["one", "two", "three"] {
            client.submit(payload(text, 7));
        }
        let stats = settled(&client).await;
        assert_eq!(failed(&stats), [(DropReason::NotRetryable, 21)], "{protocol}");
        assert_eq!(compressions(protocol, &receiver.seen()), ["gzip", "none", "gzip", "gzip"], "{protocol}");
        // It is well again: the compression that was wanted is used.
        receiver.always(None);
        client.submit(payload("four", 7));
        assert_eq!(settled(&client).await.exported, 7);
        assert_eq!(compressions(protocol, &receiver.seen()).last(), Some(&"gzip"), "{protocol}");
    }
}
