//! Proxies that go and come back, their tokens and certificates.

use core::time::Duration;

use distributedlog_proxy::{HttpToken, ServerCertificate};
use distributedlog_reader::{BuildError, FaultKind, HttpSource, MultiStreamReader, ReadError, Tls};

use crate::kit::{Faults, Stack, next, plain, proxy_over, rest, settings, take, url};

const TOKEN: &str = "a-token-of-24-characters";

#[tokio::test]
async fn a_reader_goes_on_at_another_proxy_when_the_first_drains() {
    let stack = Stack::start().await;
    let second = proxy_over(&stack.store, settings()).await;
    for stream in ["a", "b"] {
        stack.put(stream, 0, plain("1"));
    }
    let source = HttpSource::new([url(&stack.proxy), url(&second)]);
    let mut reader = MultiStreamReader::builder(source)
        .streams(["a", "b"])
        .build()
        .expect("valid");
    assert_eq!(take(&mut reader, 2).await, ["1", "1"]);
    // A drain waits for the reads, which end when the reader takes their last lines.
    let drained = tokio::spawn(async move { stack.proxy.drain().await });
    for stream in ["a", "b"] {
        let name = crate::kit::name(stream);
        let dlsn = distributedlog::Dlsn::new(1, 1, 0);
        stack.store.put(&name, dlsn, vec![plain("2")]);
    }
    assert_eq!(take(&mut reader, 2).await, ["2", "2"]);
    drained.await.expect("no panic");
}

#[tokio::test]
async fn a_reader_waits_for_a_proxy_that_is_down_and_says_so() {
    let stack = Stack::start().await;
    stack.put("a", 0, plain("1"));
    let faults = Faults::default();
    let mut reader = stack
        .reader("http", &["a"])
        .on_fault(faults.callback())
        .build()
        .expect("valid");
    assert_eq!(take(&mut reader, 1).await, ["1"]);
    let address = stack.proxy.http_addr().expect("it was asked for");
    stack.proxy.drain().await;
    drop(stack.proxy);
    crate::kit::until(&mut reader, |_| faults.kinds().len() > 2).await;
    assert!(
        faults.text().contains("draining") && faults.text().contains("cannot be reached"),
        "{}",
        faults.text()
    );
    let again = settings().http_listen(Some(address));
    let _proxy = proxy_over(&stack.store, again).await;
    let dlsn = distributedlog::Dlsn::new(1, 1, 0);
    stack
        .store
        .put(&crate::kit::name("a"), dlsn, vec![plain("2")]);
    assert_eq!(take(&mut reader, 1).await, ["2"]);
}

#[tokio::test]
async fn a_reader_gives_up_on_a_proxy_that_is_not_there() {
    for follow in [true, false] {
        let mut reader = MultiStreamReader::builder(HttpSource::new(["http://127.0.0.1:1"]))
            .streams(["a"])
            .follow(follow)
            .give_up_after(Some(Duration::from_millis(300)))
            .build()
            .expect("valid");
        let error = next(&mut reader).await.expect("no end").expect_err("down");
        let expected = if follow {
            matches!(&error, ReadError::Unavailable { stream, .. } if stream == "a")
        } else {
            matches!(&error, ReadError::Incomplete { unread }
                if unread[0].kind == FaultKind::Unavailable)
        };
        assert!(expected, "follow={follow}: {error:?}");
        assert_eq!(next(&mut reader).await, None);
    }
}

#[tokio::test]
async fn a_reader_that_follows_gives_up_on_a_source_that_never_answers_and_not_on_one_that_did() {
    let stack = Stack::start().await;
    stack.put("a", 0, plain("1"));
    let mut answered = stack.reader("http", &["a"]).build().expect("valid");
    take(&mut answered, 1).await;
    let address = url(&stack.proxy);
    stack.proxy.drain().await;
    drop(stack);
    // The clock goes on by itself while nothing happens.
    tokio::time::pause();
    let never = MultiStreamReader::builder(HttpSource::new([address])).streams(["a"]);
    let mut never = never.build().expect("valid");
    let began = tokio::time::Instant::now();
    let error = never.next().await.expect("no end").expect_err("down");
    assert!(matches!(error, ReadError::Unavailable { .. }), "{error}");
    let minute = Duration::from_secs(60);
    assert!(
        (minute..2 * minute).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    let waiting = tokio::time::timeout(10 * minute, answered.next()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    assert!(answered.stats().faults > 100);
}

#[tokio::test]
async fn a_wrong_token_is_an_error_and_the_right_one_reads() {
    let token = HttpToken::new(TOKEN).expect("a token");
    let stack = Stack::start_with(settings().http_token(Some(token))).await;
    stack.put("a", 0, plain("1"));
    let reader = |source: HttpSource| {
        let builder = MultiStreamReader::builder(source).streams(["a"]);
        builder.follow(false).build().expect("valid")
    };
    for source in [stack.http(), stack.http().token("another-token-of-any")] {
        let (texts, end) = rest(&mut reader(source)).await;
        assert!(texts.is_empty());
        let Some(ReadError::Refused { status, detail, .. }) = end else {
            panic!("{end:?}")
        };
        assert!(matches!(status, Some(401 | 403)), "{status:?} {detail}");
        assert!(!detail.contains("another-token"), "{detail}");
    }
    let mut reader = reader(stack.http().token(TOKEN));
    assert_eq!(rest(&mut reader).await, (vec!["1".into()], None));
    assert_eq!(reader.lag().await[0].entries, Some(0), "with the token too");
}

#[tokio::test]
async fn records_are_read_over_tls_from_a_proxy_that_is_trusted() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, key) = (
        folder.path().join("chain.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&chain, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let certificate =
        ServerCertificate::from_pem_files(&chain, &key).expect("they belong together");
    let stack = Stack::start_with(settings().tls(Some(certificate))).await;
    // More than one frame of TLS.
    let large = "x".repeat(300_000);
    stack.put("a", 0, plain(large.clone()));
    stack.put("a", 1, plain("2"));
    let port = stack.proxy.http_addr().expect("it was asked for").port();
    let source = HttpSource::new([format!("https://localhost:{port}")]);
    let trusting = Tls::only_roots()
        .add_root(made.cert.pem().as_bytes())
        .expect("a certificate");
    let builder = MultiStreamReader::builder(source.clone().tls(trusting)).streams(["a"]);
    let mut reader = builder.follow(false).build().expect("valid");
    assert_eq!(rest(&mut reader).await, (vec![large, "2".into()], None));

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
    let other = Tls::only_roots()
        .add_root(other.cert.pem().as_bytes())
        .expect("a certificate");
    let mut reader = MultiStreamReader::builder(source.clone().tls(other))
        .streams(["a"])
        .follow(false)
        .give_up_after(Some(Duration::ZERO))
        .build()
        .expect("valid");
    let (texts, end) = rest(&mut reader).await;
    assert!(texts.is_empty());
    let error = end.expect("an error").to_string();
    assert!(error.contains("certificate"), "{error}");
    let none = MultiStreamReader::builder(source.tls(Tls::only_roots())).streams(["a"]);
    assert!(matches!(none.build(), Err(BuildError::Tls(_))));
}

#[tokio::test]
async fn a_path_that_is_none_of_a_proxy_is_an_error() {
    let stack = Stack::start().await;
    let source = HttpSource::new([format!("{}/logs", url(&stack.proxy))]);
    let builder = MultiStreamReader::builder(source).streams(["a"]);
    let (_, end) = rest(&mut builder.build().expect("valid")).await;
    assert!(
        matches!(
            end,
            Some(ReadError::Refused {
                status: Some(404),
                ..
            })
        ),
        "{end:?}"
    );
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused() {
    let build = |streams: &[&str]| {
        let source = HttpSource::new(["http://127.0.0.1:1"]);
        let builder = MultiStreamReader::builder(source).streams(streams.iter().copied());
        builder.build().map(drop).expect_err("invalid")
    };
    assert!(matches!(build(&[]), BuildError::StreamCount { .. }));
    assert!(matches!(build(&["a", "/a"]), BuildError::StreamTwice(_)));
    assert!(matches!(build(&["a b"]), BuildError::StreamName(_)));
    let many: Vec<String> = (0..257).map(|number| format!("s-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(matches!(build(&many), BuildError::StreamCount { .. }));
}

#[tokio::test]
async fn a_name_with_any_letters_is_read() {
    let stack = Stack::start().await;
    stack.put("a/ü%2F?&#+", 0, plain("1"));
    let builder = stack.reader("http", &["a/ü%2F?&#+"]).follow(false);
    let mut reader = builder.build().expect("valid");
    assert_eq!(rest(&mut reader).await, (vec!["1".into()], None));
}

#[tokio::test]
async fn the_largest_record_is_read() {
    let stack = Stack::start().await;
    let large = "x".repeat(1_040_000);
    stack.put("a", 0, plain(large.clone()));
    let builder = stack.reader("http", &["a"]).follow(false).buffer_bytes(0);
    let mut reader = builder.build().expect("valid");
    let (texts, end) = rest(&mut reader).await;
    assert!(texts == [large] && end.is_none(), "{end:?}");
}
