//! A proxy that is frozen: another one gets its streams when its session has ended, after a time
//! that the store's flags set.

use core::time::Duration;
use std::time::Instant;

use distributedlog_tests::load::{RawClient, WriteReply};
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use rustix::process::Signal;

/// Time until another proxy got the stream by the defaults: an idle timeout of 10 s, and 4 s in
/// which the session can be resumed.
const BY_DEFAULT: Duration = Duration::from_secs(14);

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_frozen_proxy_are_free_after_the_idle_timeout_and_the_sessions_grace() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--idle-timeout", "1s", "--session-grace", "500ms"];
    let local = Local::start_with(folder.path(), 0, &flags).await;
    let uri = local.uri();
    let frozen = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    let other = Proxy::start(StoreOf::At(&uri), 0, &[]).await;
    let mut client = RawClient::connect(frozen.address)
        .await
        .expect("it listens");
    let reply = client.write("s", b"before").await.expect("it answers");
    assert!(matches!(reply, WriteReply::Stored(_)), "{reply:?}");
    frozen.process.signal(Signal::STOP);
    let began = Instant::now();
    let mut client = RawClient::connect(other.address).await.expect("it listens");
    // Bounded by the assertion behind it.
    while began.elapsed() < 2 * BY_DEFAULT {
        let reply = client.write("s", b"after").await.expect("it answers");
        if matches!(reply, WriteReply::Stored(_)) {
            break;
        }
    }
    let took = began.elapsed();
    println!("the stream was free after {took:?}");
    assert!(took < BY_DEFAULT, "{took:?}");
    frozen.process.signal(Signal::CONT);
}
