//! Obligations 2 and 4: waits between tries, those a receiver asks for, and the time of an export.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{receiver::Door, *};

const SECOND: Duration = Duration::from_secs(1);

/// What a receiver that is overloaded answers.
fn later(protocol: Protocol, at_least: Option<Duration>) -> Reply {
    match protocol {
        Protocol::Grpc => Reply::Code(14, at_least),
        Protocol::HttpProtobuf => Reply::Status(
            503,
            at_least.map(|wait| ("retry-after", wait.as_secs().to_string())).into_iter().collect(),
        ),
    }
}

#[tokio::test(start_paused = true)]
async fn waits_grow_up_to_a_bound_and_differ() {
    let mut firsts = Vec::new();
    for protocol in PROTOCOLS {
        for _ in 0..4 {
            let mut settings = settings(protocol);
            settings.timeout = 60 * SECOND;
            let (stats, seen) = send_one(settings, vec![later(protocol, None); 8]).await;
            assert_eq!((stats.exported, seen.len()), (7, 9));
            let waits: Vec<_> = seen.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
            for (wait, whole) in waits.iter().zip([1, 2, 4, 5, 5, 5, 5, 5]) {
                // The timer is exact to a millisecond.
                let whole = whole * SECOND;
                assert!(*wait >= whole / 2 && *wait <= whole + SECOND / 100, "{waits:?}");
            }
            firsts.push(waits[0]);
        }
    }
    firsts.dedup();
    assert!(firsts.len() > 1, "{firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_receiver_asks_for_is_the_least() {
    for protocol in PROTOCOLS {
        let (stats, seen) = send_one(settings(protocol), [later(protocol, Some(7 * SECOND))]).await;
        assert_eq!(stats.exported, 7);
        let wait = seen[1].at - seen[0].at;
        assert!(wait >= 7 * SECOND && wait < 8 * SECOND, "{wait:?}");
        // Less than our own wait changes nothing.
        let (_, seen) = send_one(settings(protocol), [later(protocol, Some(Duration::ZERO))]).await;
        assert!(seen[1].at - seen[0].at >= SECOND / 2);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_may_be_a_date() {
    let date = httpdate::fmt_http_date(SystemTime::now() + 8 * SECOND);
    let (stats, seen) =
        send_one(settings(Protocol::HttpProtobuf), [Reply::Status(429, vec![("retry-after", date)])]).await;
    assert_eq!(stats.exported, 7);
    let wait = seen[1].at - seen[0].at;
    // Dates count in whole seconds, and the time until here has passed.
    assert!(wait > 2 * SECOND && wait <= 8 * SECOND + SECOND / 100, "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_longer_wait_than_the_time_left_drops_the_payload_and_slows_those_behind() {
    for protocol in PROTOCOLS {
        let (client, receiver) = client(settings(protocol), [later(protocol, Some(60 * SECOND))]);
        let started = Instant::now();
        client.submit(payload("one", 7));
        client.submit(payload("two", 5));
        let stats = settled(&client).await;
        assert_eq!((stats.exported, failed(&stats)), (5, vec![(DropReason::Timeout, 7)]), "{protocol}");
        let seen = receiver.seen();
        assert_eq!((seen.len(), &*seen[1].message), (2, &b"two"[..]));
        assert!(seen[1].at - started >= 60 * SECOND, "{protocol}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_absurd_wait_is_cut_to_an_hour() {
    for protocol in PROTOCOLS {
        let (client, receiver) =
            client(settings(protocol), [later(protocol, Some(Duration::from_secs(u64::MAX / 2)))]);
        client.submit(payload("one", 7));
        client.submit(payload("two", 5));
        settled(&client).await;
        let seen = receiver.seen();
        let wait = seen[1].at - seen[0].at;
        assert!(wait >= 3600 * SECOND && wait < 3601 * SECOND, "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_export_takes_no_longer_than_its_timeout_with_all_its_tries() {
    for protocol in PROTOCOLS {
        for timeout in [SECOND / 2, 10 * SECOND] {
            let replies: [(&str, Option<Reply>, Option<Door>); 5] = [
                ("busy", Some(later(protocol, None)), None),
                ("cut", Some(Reply::Cut), None),
                ("silent", Some(Reply::Silence), None),
                ("refused", None, Some(Door::Refused)),
                ("black hole", None, Some(Door::Blackhole)),
            ];
            for (name, reply, door) in replies {
                let mut settings = settings(protocol);
                settings.timeout = timeout;
                let (client, receiver) = client(settings, []);
                receiver.always(reply);
                receiver.always_door(door);
                let started = Instant::now();
                client.submit(payload("one", 7));
                let stats = settled(&client).await;
                let took = started.elapsed();
                assert_eq!(failed(&stats), [(DropReason::Timeout, 7)], "{protocol} {name}");
                assert!(took <= timeout + SECOND / 100, "{protocol} {name}: {took:?}");
                let is_waiting = matches!(name, "silent" | "black hole");
                assert!(
                    is_waiting || receiver.dials().len() + receiver.seen().len() > 2,
                    "{protocol} {name}"
                );
                // It does not give up long before either.
                assert!(took >= timeout / 4, "{protocol} {name}: {took:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_receiver_is_told_how_long_the_client_waits() {
    let (_, seen) = send_one(settings(Protocol::Grpc), [Reply::Code(14, Some(4 * SECOND))]).await;
    assert_eq!(seen[0].headers["grpc-timeout"], "10000m");
    let left = seen[1].headers["grpc-timeout"].to_str().expect("text").trim_end_matches('m');
    assert!((5000..=6000).contains(&left.parse::<u32>().expect("a number")), "{left}");
}
