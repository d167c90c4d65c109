//! Table-driven checks of the small languages.

use proptest::prelude::*;

use super::*;

#[test]
fn listen_addresses() {
    for (text, expect) in [
        ("0.0.0.0:8080", Ok("0.0.0.0:8080")),
        ("[::]:8080", Ok("[::]:8080")),
        ("[::1]:0", Ok("[::1]:0")),
        (":9100", Ok("0.0.0.0:9100")),
        ("*:9100", Ok("0.0.0.0:9100")),
        ("9100", Ok("0.0.0.0:9100")),
        (" localhost:9100 ", Ok("127.0.0.1:9100")),
        ("127.0.0.1", Err("the port is missing")),
        ("::1", Err("write an IPv6 address in brackets, with a port: [::]:8080")),
        ("example.com:80", Err("the host must be an IP address of this machine")),
        (":99999", Err("a port goes from 0 to 65535")),
        ("99999", Err("a port goes from 0 to 65535")),
        (":-1", Err("a port goes from 0 to 65535")),
        (":", Err("a port goes from 0 to 65535")),
        ("", Err("a port goes from 0 to 65535")),
        ("tcp://10.0.0.1:8080", Err("the host must be an IP address of this machine")),
    ] {
        let read = listen(text).map(|address| address.to_string());
        assert_eq!(read, expect.map(str::to_owned).map_err(str::to_owned), "{text:?}");
    }
}

#[test]
fn sources() {
    for (text, expect) in [
        ("auto", Some(Source::Auto)),
        ("docker", Some(Source::Docker)),
        ("cgroup", Some(Source::Cgroup)),
        ("sim:1", Some(Source::Sim(1))),
        ("sim:10000", Some(Source::Sim(10_000))),
        ("sim:0", None),
        ("sim:10001", None),
        ("sim:-1", None),
        ("sim:99999999999", None),
        ("sim:", None),
        ("sim", None),
        ("", None),
    ] {
        assert_eq!(source(text).ok(), expect, "{text:?}");
    }
}

#[test]
fn rules() {
    for right in ["name=web-*", "image=*/nginx:{1,2}*", "label=team=a=b", "label=team=", "label=team"] {
        assert_eq!(rule(right), Ok(right));
    }
    for wrong in ["label=", "name=", "name=[", "web-*", "id=5", ""] {
        assert!(rule(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn lengths_of_time() {
    for (text, expect) in [
        ("15", Some(15.0)),
        ("0.5", Some(0.5)),
        (" 500ms ", Some(0.5)),
        ("15s", Some(15.0)),
        ("2 m", Some(120.0)),
        ("1h", Some(3600.0)),
        ("15 parsecs", None),
        ("s", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("é", None),
    ] {
        assert_eq!(seconds(text), expect, "{text:?}");
    }
}

#[test]
fn sockets_and_urls() {
    assert_eq!(socket("unix:///run/docker.sock").as_deref(), Ok("/run/docker.sock"));
    assert_eq!(socket("/run/docker.sock").as_deref(), Ok("/run/docker.sock"));
    assert!(socket("tcp://10.0.0.1:2375").is_err_and(|why| why.contains("local sockets")));
    assert!(socket("docker.sock").is_err_and(|why| why.contains("absolute")));
    for wrong in ["http://", "http:///x", "https://?", "http://a b", "ftp://x"] {
        assert!(url(wrong).is_err(), "{wrong}");
    }
    assert!(url("http://otel-collector:4317").is_ok() && url("otel-collector:4317").is_ok());
    assert_eq!(without_secrets("http://u:p@host/x@y"), "http://****@host/x@y");
    assert_eq!(without_secrets("http://host/x@y"), "http://host/x@y");
    assert_eq!(without_secrets("u:p@host:1"), "****@host:1");
    assert_eq!(without_secrets("http://host/x?token=y@z"), "http://host/x?****");
}

#[test]
fn pairs_are_percent_decoded() {
    let read = pairs("authorization=Basic%20abc=, b=1,,").expect("two pairs");
    assert_eq!(read.get("authorization").map(String::as_str), Some("Basic abc="));
    assert_eq!(read.get("b").map(String::as_str), Some("1"));
    for wrong in ["authorization", "=x", "a=%ff", "a=%0a"] {
        assert_eq!(pairs(wrong), None, "{wrong}");
    }
    assert_eq!(pairs("a=100%").expect("lone percent")["a"], "100%");
}

#[test]
fn commas_within_a_glob_do_not_split() {
    assert_eq!(split_outside_braces("name={a,b}, image=c ,,"), ["name={a,b}", "image=c"]);
    assert_eq!(split_outside_braces("}a,b"), ["}a", "b"]);
    assert!(split_outside_braces("").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is typed, nothing panics, and what is accepted is read the same from its canonical form.
    #[test]
    fn canonical_forms_are_stable(text in "[ -~é]{0,24}|sim:[0-9]{0,6}|(name|image|label)=[a-z=*{}]{0,8}|[0-9.:\\[\\]]{0,20}") {
        if let Ok(read) = listen(&text) {
            prop_assert_eq!(listen(&read.to_string()), Ok(read));
        }
        if let Ok(read) = source(&text) {
            prop_assert_eq!(source(&read.to_string()), Ok(read));
        }
        if let Ok(read) = socket(&text) {
            prop_assert_eq!(socket(&read), Ok(read.clone()));
        }
        let _ = (url(&text), rule(&text), seconds(&text), pairs(&text), without_secrets(&text));
    }
}
