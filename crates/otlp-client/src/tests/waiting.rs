//! Obligations 5 and 11: the sizes of payloads, the bound of the queue, shutdown; and other settings meanwhile.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::{receiver::Door, *};
use crate::{PAYLOAD_BYTES_MAX, Undelivered};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_payload_up_to_the_bound_is_sent_and_a_larger_one_dropped() {
    for protocol in PROTOCOLS {
        let (client, receiver) = client(settings(protocol), []);
        for len in [PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1] {
            client.submit(Payload { body: vec![1; len].into(), points: len });
        }
        let stats = settled(&client).await;
        assert_eq!(stats.exported, PAYLOAD_BYTES_MAX as u64);
        assert_eq!(failed(&stats), [(DropReason::TooLarge, PAYLOAD_BYTES_MAX as u64 + 1)]);
        assert_eq!(receiver.seen()[0].message.len(), PAYLOAD_BYTES_MAX);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest() {
    let mut settings = settings(Protocol::HttpProtobuf);
    settings.queue_bytes_max = 3 * (1 + OVERHEAD);
    let (client, receiver) = client(settings, [Reply::Status(503, vec![("retry-after", "5".to_owned())])]);
    client.submit(payload("a", 1));
    // It is in flight when the others come: it stays.
    while receiver.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    for (text, points) in [("b", 10), ("c", 100), ("d", 1000), ("e", 10_000)] {
        client.submit(payload(text, points));
        let stats = client.stats().snapshot();
        assert!(stats.queue_bytes <= stats.queue_bytes_max);
        assert_eq!(stats.inflight, 1);
    }
    assert_eq!(client.stats().snapshot().queue_points, 11_000);
    let stats = settled(&client).await;
    assert_eq!((stats.exported, failed(&stats)), (11_001, vec![(DropReason::QueueFull, 110)]));
    let messages: Vec<_> = receiver.seen().iter().map(|seen| seen.message.clone()).collect();
    assert_eq!(messages, ["a", "a", "d", "e"]);
    // Larger than the whole queue.
    client.submit(payload(&"x".repeat(400), 3));
    assert_eq!(client.stats().snapshot().failed(DropReason::TooLarge), 3);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_room_has_it_when_a_payload_is_delivered() {
    let mut settings = settings(Protocol::Grpc);
    settings.queue_bytes_max = 1000;
    let (client, _) = client(settings, [Reply::Code(14, Some(5 * SECOND))]);
    let started = Instant::now();
    for _ in 0..3 {
        client.has_room(600).await;
        client.submit(payload(&"x".repeat(600), 1));
    }
    let stats = settled(&client).await;
    assert_eq!((stats.exported, failed(&stats)), (3, vec![]));
    assert!(started.elapsed() >= 5 * SECOND);
    // What never has room does not wait for it.
    client.has_room(2000).await;
}

/// A body that counts itself among the living.
struct Counted {
    bytes: Vec<u8>,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn payload(len: usize, alive: &Arc<AtomicUsize>) -> Payload {
        alive.fetch_add(len, Relaxed);
        let counted = Self { bytes: vec![7; len], alive: alive.clone() };
        Payload { body: Bytes::from_owner(counted), points: 40_000 }
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(self.bytes.len(), Relaxed);
    }
}

/// A thousand containers of forty points make a payload of 3.3 MB each 15 s.
#[tokio::test(start_paused = true)]
async fn ten_minutes_without_a_receiver_hold_no_more_than_the_queue_may() {
    for protocol in PROTOCOLS {
        for (door, reply) in [
            (Some(Door::Refused), None),
            (Some(Door::Blackhole), None),
            (None, Some(Reply::Silence)),
            (None, Some(Reply::Cut)),
        ] {
            let alive = Arc::new(AtomicUsize::new(0));
            let (client, receiver) = client(settings(protocol), []);
            receiver.always_door(door);
            receiver.always(reply);
            let (mut most, mut submitted) = (0, 0);
            for tick in 0..600 {
                // Four at a time: as many as 4,000 containers make.
                for _ in 0..if tick % 15 == 0 { 4 } else { 0 } {
                    client.submit(Counted::payload(3_300_000, &alive));
                    submitted += 40_000;
                }
                tokio::time::sleep(SECOND).await;
                most = most.max(alive.load(Relaxed));
            }
            let bound = Settings::QUEUE_BYTES_MAX;
            assert!(most <= bound, "{protocol} {door:?}: {most} of {bound}");
            assert!(most > bound / 2, "{protocol} {door:?}: {most}");
            receiver.always_door(None);
            receiver.always(None);
            let stats = settled(&client).await;
            let lost: u64 = failed(&stats).iter().map(|(_, points)| points).sum();
            assert_eq!(stats.exported + lost, submitted, "{protocol} {door:?}");
            assert!(stats.failed(DropReason::QueueFull) > 0 && stats.failed(DropReason::Timeout) > 0);
            // Once it is back nothing is kept.
            client.submit(payload("back", 1));
            assert!(settled(&client).await.exported > 0);
            assert_eq!(alive.load(Relaxed), 0, "{protocol} {door:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_flushes() {
    for protocol in PROTOCOLS {
        let (client, receiver) = client(settings(protocol), [Reply::Cut]);
        for text in ["one", "two", "three"] {
            client.submit(payload(text, 7));
        }
        assert_eq!(client.shutdown(5 * SECOND).await, Undelivered::default());
        assert_eq!((client.stats().snapshot().exported, receiver.seen().len()), (21, 4));
        // Afterwards nothing is taken.
        client.submit(payload("four", 5));
        assert_eq!(failed(&client.stats().snapshot()), [(DropReason::Shutdown, 5)]);
        assert_eq!(client.shutdown(5 * SECOND).await, Undelivered::default());
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_at_the_end_of_the_bound_is_returned_and_counted() {
    for protocol in PROTOCOLS {
        let (client, _) = client(settings(protocol), [Reply::Taken, Reply::Silence]);
        for text in ["one", "two", "three"] {
            client.submit(payload(text, 7));
        }
        let started = Instant::now();
        let left = client.shutdown(5 * SECOND).await;
        assert_eq!(left, Undelivered { payloads: 2, points: 14 }, "{protocol}");
        assert!(started.elapsed() >= 5 * SECOND && started.elapsed() < 6 * SECOND);
        let stats = client.stats().snapshot();
        assert_eq!((stats.exported, failed(&stats)), (7, vec![(DropReason::Shutdown, 14)]), "{protocol}");
        assert_eq!((stats.inflight, stats.queue_bytes), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn other_settings_hold_at_once_for_what_waits() {
    for protocol in PROTOCOLS {
        let (client, receiver) = client(settings(protocol), []);
        receiver.always(Some(match protocol {
            Protocol::Grpc => Reply::Code(14, Some(3000 * SECOND)),
            Protocol::HttpProtobuf => Reply::Status(503, vec![("retry-after", "3000".to_owned())]),
        }));
        client.submit(payload("one", 1));
        while client.stats().snapshot().failed(DropReason::Timeout) == 0 {
            tokio::time::sleep(SECOND).await;
        }
        client.submit(payload("two", 1));
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(receiver.seen().len(), 1, "{protocol}");

        receiver.always(None);
        let mut values = values(protocol, "http://other:1");
        values.headers = Some(Said::new(Headers::parse("x-key=new").expect("headers"), "the test"));
        let started = Instant::now();
        client.reconfigure(resolved(&values)).expect("no files");
        let stats = settled(&client).await;
        assert_eq!((stats.exported, started.elapsed().as_millis()), (1, 0), "{protocol}");
        assert!(receiver.dials().last().is_some_and(|(_, to)| to.starts_with("http://other:1")));
        assert_eq!(receiver.seen()[1].headers["x-key"], "new");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_under_way_ends_before_other_settings_hold() {
    for protocol in PROTOCOLS {
        let asks = match protocol {
            Protocol::Grpc => Reply::Code(14, Some(3000 * SECOND)),
            Protocol::HttpProtobuf => Reply::Status(503, vec![("retry-after", "3000".to_owned())]),
        };
        let (client, receiver) = client(settings(protocol), [Reply::After(2 * SECOND, Box::new(asks))]);
        let started = Instant::now();
        client.submit(payload("one", 1));
        tokio::time::sleep(SECOND).await;
        client.reconfigure(resolved(&values(protocol, "http://other:1"))).expect("no files");
        let stats = settled(&client).await;
        // The old receiver's wish does not bind the new one's.
        assert_eq!((stats.exported, failed(&stats)), (1, vec![]), "{protocol}");
        assert_eq!(started.elapsed().as_secs(), 2, "{protocol}");
        let dials: Vec<_> = receiver.dials().into_iter().map(|(_, to)| to).collect();
        assert!(dials.len() == 2 && dials[1].starts_with("http://other:1"), "{dials:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_used_change_nothing() {
    let (client, receiver) = client(settings(Protocol::HttpProtobuf), []);
    let mut wrong = values(Protocol::HttpProtobuf, "https://other:1");
    wrong.certificate = Some(Said::new("/nowhere/ca.pem".into(), "the test"));
    let error = client.reconfigure(resolved(&wrong)).expect_err("no file");
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    client.submit(payload("one", 1));
    assert_eq!(settled(&client).await.exported, 1);
    assert!(receiver.dials()[0].1.starts_with("http://receiver:4318"));
}
