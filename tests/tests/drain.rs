//! SIGINT and SIGTERM: what is in flight is finished, nothing acknowledged is lost, the exit code
//! is 0.

use distributedlog_tests::load::write_until_the_end;
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::Starting;
use distributedlog_tests::records::{assert_read_back, read_all};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};
use rustix::process::Signal;

/// Loads the proxy and sends the signal to `process` meanwhile. Asserts that every acknowledged
/// record is in the folder, and that every write got a reply.
async fn drain_proxy(signal: Signal) {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let address = proxy.address;
    // So that the signal comes in the middle of the load.
    let warm = write_until_the_end(address, &STREAMS, "before", 64, 1000).await;
    let load = tokio::spawn(async move {
        write_until_the_end(address, &STREAMS, "during", 64, usize::MAX).await
    });
    // When these are answered, the load beside them is under way.
    let beside = write_until_the_end(address, &STREAMS, "beside", 1, 20).await;
    proxy.process.signal(signal);
    let _ = proxy.process.until_exit().await.with_code(0);
    let loaded = load.await.expect("the load does not panic");
    assert_eq!(
        loaded.unknown, 0,
        "what was in flight was finished: {:?}",
        loaded.failed
    );
    let acknowledged = [warm.acknowledged, beside.acknowledged, loaded.acknowledged].concat();
    let local = Local::start(folder.path(), 0).await;
    let held = assert_read_back(&local.connect().await, &acknowledged).await;
    println!(
        "{signal:?}: {} acknowledged, {held} held, refused {:?}",
        acknowledged.len(),
        loaded.failed
    );
    assert_eq!(
        held,
        acknowledged.len(),
        "nothing unacknowledged was written either"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_finishes_what_is_in_flight_on_sigterm() {
    drain_proxy(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_finishes_what_is_in_flight_on_sigint() {
    drain_proxy(Signal::INT).await;
}

/// The collector of its log has ended, and every line that it writes fails. It must still end.
#[tokio::test]
async fn a_proxy_whose_log_goes_nowhere_drains_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let written = write_until_the_end(proxy.address, &STREAMS, "before", 1, 10).await;
    assert_eq!(written.acknowledged.len(), 10);
    proxy.process.hang_up().await;
    proxy.process.signal(Signal::TERM);
    let _ = proxy.process.until_exit().await.with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_store_finishes_what_is_in_flight_and_its_proxy_outlives_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let reserved = ReservedPort::new();
    let port = reserved.number();
    let local = Local::start(folder.path(), port).await;
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let address = proxy.address;
    let warm = write_until_the_end(address, &STREAMS, "before", 64, 1000).await;
    let load =
        tokio::spawn(
            async move { write_until_the_end(address, &STREAMS, "during", 64, 20_000).await },
        );
    local.process.signal(Signal::TERM);
    let _ = local.process.until_exit().await.with_code(0);
    let local = Local::start(folder.path(), port).await;
    let loaded = load.await.expect("the load does not panic");
    let acknowledged = [warm.acknowledged, loaded.acknowledged].concat();
    assert_read_back(&local.connect().await, &acknowledged).await;
    println!(
        "{} acknowledged, refused meanwhile {:?}",
        acknowledged.len(),
        loaded.failed
    );
    assert!(
        loaded
            .failed
            .keys()
            .all(|why| !why.contains("BkTransmitError")),
        "each append that got there was answered: {:?}",
        loaded.failed
    );
}

#[tokio::test]
async fn a_reader_ends_with_0_when_it_is_asked_to_and_a_console_of_a_pipe_says_what_is_unread() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let uri = local.uri().to_string();
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let all = STREAMS.join(",");
    let _ = Starting::dlog([
        "tool",
        "create",
        "-u",
        &uri,
        "-r",
        "basic-stream-",
        "-e",
        "3-7",
        "-f",
    ])
    .start()
    .until_exit()
    .await
    .with_code(0);
    let mut reader = Starting::dlog(["multi-reader", &uri, &all]).start();
    reader
        .until_line("where it starts", |_, line| {
            line.starts_with("Open reader").then_some(())
        })
        .await;
    reader.signal(Signal::INT);
    let _ = reader.until_exit().await.with_code(0);
    let mut console = Starting::dlog(["console-multi-writer", &proxy.name(), &all])
        .with_stdin()
        .start();
    console.type_in("a line\n").await;
    let store = local.connect().await;
    // The line is written: the console is in the middle of its work.
    let mut written = 0;
    while written == 0 {
        for stream in STREAMS {
            written += read_all(&store, stream).await.len();
        }
        tokio::task::yield_now().await;
    }
    console.signal(Signal::TERM);
    let _ = console
        .until_exit()
        .await
        .with_code(1)
        .complaining("1 line acknowledged, 0 lines failed; nothing after line 1 was written");
}
