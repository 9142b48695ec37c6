//! What a server tells a service manager: that it serves, that it lives, that it drains.

use core::time::Duration;

use distributedlog_tests::process::{STEP_TIMEOUT, Starting};
use rustix::process::Signal;
use tokio::net::UnixDatagram;

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Manager {
    /// Waits until the server has told `line`, and returns the lines that came with it.
    async fn until(&mut self, line: &str) -> String {
        let mut message = [0; 4096];
        let told = tokio::time::timeout(STEP_TIMEOUT, async {
            loop {
                let length = self.socket.recv(&mut message).await.expect("a socket");
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                self.told.push(text.clone());
                if text.lines().any(|it| it == line) {
                    return text;
                }
            }
        });
        told.await
            .unwrap_or_else(|_| panic!("{line} was not told, only {:?}", self.told))
    }
}

async fn a_server_tells(arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let mut manager = Manager {
        socket,
        told: Vec::new(),
    };
    let store = folder.path().join("store");
    let store = store.to_str().expect("a plain name");
    let watchdog = Duration::from_millis(200).as_micros().to_string();
    let mut process = Starting::dlog(arguments.iter().chain(&["--data", store]))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", watchdog)
        .start();
    let ready = manager.until("READY=1").await;
    assert!(ready.contains("STATUS=listening on 127.0.0.1:"), "{ready}");
    // `systemctl reload` of a server without files to read again does not end it.
    process.signal(Signal::HUP);
    process
        .until_line("the reload", |_, line| {
            line.contains("no files to read again").then_some(())
        })
        .await;
    for _ in 0..2 {
        manager.until("WATCHDOG=1").await;
    }
    process.signal(Signal::TERM);
    manager.until("STOPPING=1").await;
    let _ = process.until_exit().await.with_code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_tells_its_service_manager_that_it_serves_that_it_lives_and_that_it_drains() {
    a_server_tells(&["proxy", "-p", "0"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_a_store() {
    a_server_tells(&["local", "0"]).await;
}
