//! What the log has: a line for each change, with the endpoint and what to do.

use std::{
    io::{self, Write},
    sync::{Mutex, Once},
    time::Duration,
};

use super::{receiver::Door, *};

#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lines").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Of this thread, on which the test's tasks run.
    ///
    /// While there is one subscriber only, whichever thread comes to a line first decides whether anybody wants it, and the thread
    /// of another test that listens to nothing says for all that nobody does. So there is always another one.
    pub(super) fn listen(&self) -> tracing::subscriber::DefaultGuard {
        static ANOTHER: Once = Once::new();
        ANOTHER.call_once(|| {
            let nowhere = tracing_subscriber::fmt().with_writer(io::sink);
            tracing::subscriber::set_global_default(nowhere.finish()).expect("the only one");
        });
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || lines.clone())
            .without_time()
            .with_target(false)
            .with_ansi(false);
        tracing::subscriber::set_default(subscriber.finish())
    }

    pub(super) fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("lines"));
        String::from_utf8(bytes).expect("text").lines().map(|line| line.trim().to_owned()).collect()
    }
}

#[track_caller]
fn check(lines: &Lines, expect: &[&[&str]]) {
    let found = lines.take();
    assert_eq!(found.len(), expect.len(), "{found:#?}");
    for (line, words) in found.iter().zip(expect) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}\n{words:?}");
        assert!(!line.contains("s3cret"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_line_says_what_is_wrong_and_one_that_it_is_right_again() {
    let lines = Lines::default();
    let _guard = lines.listen();
    for protocol in PROTOCOLS {
        let settings =
            values(protocol, "http://me:s3cret@receiver:4318").resolve().expect("settings").expect("one");
        let (client, receiver) = client(settings, []);
        let submit = async |times: u32| {
            for _ in 0..times {
                client.submit(payload("one", 7));
                settled(&client).await;
                tokio::time::sleep(Duration::from_secs(15)).await;
            }
        };
        submit(3).await;
        check(&lines, &[&["INFO", "http://receiver:4318", "takes metrics"]]);
        receiver.close_all();
        receiver.always_door(Some(Door::Refused));
        submit(5).await;
        check(
            &lines,
            &[&["WARN", "failed to deliver metrics to http://receiver:4318", "start the receiver"]],
        );
        // The trouble changes: that is one line more, and not another for each attempt.
        receiver.always_door(None);
        receiver.always(Some(Reply::Status(401, vec![])));
        submit(5).await;
        check(&lines, &[&["WARN", "401", "OTEL_EXPORTER_OTLP_HEADERS"]]);
        receiver.always(None);
        submit(3).await;
        check(&lines, &[&["INFO", "http://receiver:4318", "takes metrics again"]]);
        receiver.always(Some(Reply::Silence));
        submit(3).await;
        check(&lines, &[&["WARN", "does not answer within 10s"]]);
        receiver.always(Some(Reply::Partial { rejected: 2, message: "too\nold" }));
        submit(3).await;
        check(&lines, &[&["WARN", "rejects 2 data points: too\\nold"]]);
        client.submit(payload("last", 7));
        receiver.always(Some(Reply::Silence));
        settled(&client).await;
        lines.take();
        client.submit(payload("left", 7));
        client.shutdown(Duration::from_secs(5)).await;
        check(&lines, &[&["WARN", "7 data points were not delivered to http://receiver:4318"]]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_try_that_hardly_had_time_is_not_called_slow() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let busy = || Reply::Status(503, vec![("retry-after", "7".to_owned())]);
    let (stats, _) = send_one(settings(Protocol::HttpProtobuf), [busy(), Reply::Silence]).await;
    assert_eq!(failed(&stats), [(DropReason::Timeout, 7)]);
    check(&lines, &[&["WARN", "503"]]);
    // One that had its time is.
    let (stats, _) = send_one(settings(Protocol::HttpProtobuf), [Reply::Silence]).await;
    assert_eq!(failed(&stats), [(DropReason::Timeout, 7)]);
    check(&lines, &[&["WARN", "does not answer within 10s"]]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_compression_is_told_once() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let mut settings = settings(Protocol::HttpProtobuf);
    settings.compression = crate::Compression::Zstd;
    let (client, _) = client(settings, [Reply::Status(415, vec![])]);
    for _ in 0..3 {
        client.submit(payload("one", 7));
        settled(&client).await;
    }
    check(&lines, &[&["WARN", "refuses zstd; compression is gzip"], &["INFO", "takes metrics"]]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_says_what_to_do() {
    let lines = Lines::default();
    let _guard = lines.listen();
    let http = |status| (Protocol::HttpProtobuf, Reply::Status(status, vec![]));
    let moved = vec![("location", "https://me:s3cret@there/v1/metrics?s3cret".to_owned())];
    let cases: [((Protocol, Reply), &str); 9] = [
        (http(404), "--web.enable-otlp-receiver"),
        (http(403), "OTEL_EXPORTER_OTLP_HEADERS"),
        (http(413), "raise its limit"),
        (http(400), "its log says why"),
        (
            (Protocol::HttpProtobuf, Reply::Status(308, moved)),
            "it redirects to https://there/v1/metrics, name that",
        ),
        ((Protocol::Grpc, Reply::Code(16, None)), "UNAUTHENTICATED: told to; check the headers"),
        ((Protocol::Grpc, Reply::Code(12, None)), "nothing takes what is sent there"),
        ((Protocol::Grpc, Reply::Code(3, None)), "INVALID_ARGUMENT: told to; its log says why"),
        ((Protocol::Grpc, Reply::Status(200, vec![])), "speaks no gRPC"),
    ];
    for ((protocol, reply), words) in cases {
        send_one(settings(protocol), [reply]).await;
        check(&lines, &[&["WARN", "failed to deliver metrics to http://receiver:4318", words]]);
    }
}
