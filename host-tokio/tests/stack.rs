//! Stack that a client takes: tokio's threads have two megabytes, and those of applications less.
//! A build without optimizations needs several times as much as a release build, which is run too
//! and where functions that are inlined share one frame.

mod support;

use distributedlog::Dlsn;
use distributedlog_tokio::MultiStreamWriter;
use support::Proxy;

const STACK_BYTES: usize = if cfg!(debug_assertions) {
    2 << 20
} else {
    512 << 10
};

async fn build_and_write() {
    let proxy = Proxy::bind().await;
    let builder = MultiStreamWriter::builder(["a"]).proxies(proxy.name());
    let (writer, mut peer) = tokio::join!(builder.build(), proxy.accept_handshake());
    let writer = writer.unwrap();
    let (written, ()) = tokio::join!(writer.write(b"a record"), async {
        let call = peer.call().await;
        peer.answer_written(&call, Dlsn::new(1, 2, 0)).await;
    });
    assert_eq!(written.unwrap().dlsn, Dlsn::new(1, 2, 0));
}

#[test]
fn a_writer_is_built_and_used_on_a_small_stack() {
    let application = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(build_and_write());
        });
    application.unwrap().join().unwrap();
}
