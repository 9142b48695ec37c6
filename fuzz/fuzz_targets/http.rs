//! The proxy's HTTP port, from the first byte of a connection on.
#![no_main]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use distributedlog_proxy::{Proxy, RunningProxy, Settings};
use distributedlog_store::LogStore;
use distributedlog_testkit::store::MemoryStore;
use libfuzzer_sys::fuzz_target;

/// One proxy for all inputs: what one leaves behind, the next meets.
static PROXY: LazyLock<(tokio::runtime::Runtime, RunningProxy)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let proxy = runtime.block_on(async {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let settings = Settings::builder()
            .listen(any)
            .http_listen(Some(any))
            .frame_timeout(Duration::from_millis(200))
            .build()
            .expect("valid settings");
        let store = MemoryStore::new();
        store
            .create(&"s".parse().expect("a valid name"))
            .await
            .expect("created");
        Proxy::start(settings, store).await.expect("a free port")
    });
    (runtime, proxy)
});

fuzz_target!(|bytes: &[u8]| {
    let address = PROXY.1.http_addr().expect("it serves HTTP");
    let mut stream = TcpStream::connect(address).expect("it accepts");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a socket");
    // It may answer and close before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = vec![0; 1 << 16];
    let mut is_answered = false;
    loop {
        match stream.read(&mut answer) {
            Ok(0) => break,
            // A tail never ends: behind the first bytes of an answer only what is there is read.
            Ok(_) => {
                is_answered = true;
                stream
                    .set_read_timeout(Some(Duration::from_millis(50)))
                    .expect("a socket");
            }
            Err(error) => match error.kind() {
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => break,
                std::io::ErrorKind::WouldBlock if is_answered => break,
                // The fuzzer's own alarm.
                std::io::ErrorKind::Interrupted => {}
                kind => panic!("the connection is neither answered nor closed: {kind}"),
            },
        }
    }
});
