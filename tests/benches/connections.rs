//! Memory of a `dlog proxy --data` with 10,000 connections of thriftmux: after the session's start,
//! and after a ping.
//!
//! `cargo bench -p distributedlog-tests --bench connections [-- PROGRAM ...]`: of these programs in
//! turns, or of the one that is built. The folders of the stores are made below the current folder,
//! or below `DLOG_BENCH_FOLDER`.

use core::net::SocketAddr;
use std::path::{Path, PathBuf};

use distributedlog::wire::mux::{Frame, INIT_CHECK, InitHeaders, Message, Tag, VERSION};
use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::binary;
use distributedlog_tests::limits::raise_open_files;
use distributedlog_tests::memory::kib;
use distributedlog_tests::process::Starting;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 10_000;
/// Turns of all programs.
const ROUNDS: usize = 3;

fn main() {
    let arguments = std::env::args_os().skip(1).map(PathBuf::from);
    // Cargo passes `--bench`.
    let mut programs: Vec<PathBuf> = arguments.filter(|it| !it.starts_with("--bench")).collect();
    if programs.is_empty() {
        programs.push(binary::dlog().to_owned());
    }
    // The proxies inherit the limit, and have files of their own.
    let files = CONNECTIONS as u64 + 1_000;
    assert!(raise_open_files(files) >= files, "a file for each one");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    println!("| program | KiB before | KiB of each, begun | after a ping | MiB of all at most |");
    println!("|---|--:|--:|--:|--:|");
    for _ in 0..ROUNDS {
        for program in &programs {
            runtime.block_on(measure(program));
        }
    }
}

async fn measure(program: &Path) {
    let folder = bench_folder("connections");
    let data = folder.path().to_str().expect("a plain name");
    let mut proxy = Starting::copy(program, ["proxy", "-p", "0", "--data", data]).start();
    let address = proxy.until_listening().await;
    let process = proxy.id().expect("it runs");
    let before = kib(process, "VmRSS");
    let each = |now: u64| now.saturating_sub(before) as f64 / CONNECTIONS as f64;
    let mut open = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        open.push(begin(address).await);
    }
    let begun = each(kib(process, "VmRSS"));
    for stream in &mut open {
        exchange(stream, Message::Tping, &Message::Rping).await;
    }
    println!(
        "| {} | {before} | {begun:.2} | {:.2} | {:.1} |",
        program.display(),
        each(kib(process, "VmRSS")),
        kib(process, "VmHWM") as f64 / 1024.0
    );
    proxy.kill_9().await;
}

/// Makes a connection and begins its session, as the original's clients do.
async fn begin(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let check = Message::BadRerr { error: INIT_CHECK };
    exchange(&mut stream, check, &check).await;
    let (version, headers) = (VERSION, InitHeaders::default());
    let init = Message::Tinit { version, headers };
    let answer = Message::Rinit { version, headers };
    exchange(&mut stream, init, &answer).await;
    stream
}

/// Sends a message with tag 1, and waits for this answer.
async fn exchange(stream: &mut TcpStream, message: Message<'_>, answer: &Message<'_>) {
    let mut buffer = [0; 256];
    let frame = Frame::new(Tag::ONE, message);
    let length = frame.encode(&mut buffer).expect("it has room");
    stream.write_all(&buffer[..length]).await.expect("sent");
    let length = Frame::new(Tag::ONE, *answer).encoded_len();
    let reply = &mut buffer[..length];
    stream.read_exact(reply).await.expect("answered");
    let frame = Frame::decode(reply).expect("mux");
    assert_eq!((frame.tag, &frame.message), (Tag::ONE, answer));
}
