//! Resources that run out: a disk without room, a folder that cannot be written, ten
//! thousand idle connections.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use distributedlog_store::{StoreError, StreamName};
use distributedlog_tests::binary;
use distributedlog_tests::limits::raise_open_files;
use distributedlog_tests::load::{RawClient, WriteReply, write_until_the_end};
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::Starting;
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};
use distributedlog_tests::stats;
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Idle connections that a proxy must carry.
const CONNECTIONS: usize = 10_000;

/// The user `nobody`, who owns nothing.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_do_not_disturb_a_writer() {
    // The child inherits the limit, and needs as many files as this process.
    let files = raise_open_files(CONNECTIONS as u64 + 500);
    let connections = CONNECTIONS.min(
        usize::try_from(files)
            .unwrap_or(usize::MAX)
            .saturating_sub(500),
    );
    if connections < CONNECTIONS {
        println!(
            "this machine allows {files} open files, so {connections} connections instead of \
             {CONNECTIONS}: raise `ulimit -Hn`"
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let mut idle = Vec::with_capacity(connections);
    for number in 0..connections {
        let connected = TcpStream::connect(proxy.address).await;
        idle.push(connected.unwrap_or_else(|error| {
            panic!("connection {number}: {error}\n{}", proxy.process.said())
        }));
    }
    let loaded = write_until_the_end(proxy.address, &STREAMS, "among idlers", 64, 1000).await;
    assert_eq!(loaded.acknowledged.len(), 1000, "{:?}", loaded.failed);
    println!(
        "{connections} idle connections; the proxy's memory: {}",
        resident(proxy.process.id())
    );
    drop(idle);
    let loaded = write_until_the_end(proxy.address, &STREAMS, "afterwards", 64, 1000).await;
    assert_eq!(loaded.acknowledged.len(), 1000, "{:?}", loaded.failed);
}

/// Returns the memory of a process, as Linux reports it.
fn resident(id: Option<u32>) -> String {
    let status = id
        .and_then(|id| fs::read_to_string(format!("/proc/{id}/status")).ok())
        .unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .map_or_else(|| "unknown".to_owned(), |size| size.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_half_a_frame_and_no_more_do_not_disturb_a_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let mut slow = Vec::new();
    for number in 0..200_usize {
        let mut stream = TcpStream::connect(proxy.address).await.expect("connects");
        // A mux frame that announces 1000 bytes, cut at different places; every other one is framed
        // thrift.
        let begun: &[u8] = if number.is_multiple_of(2) {
            &[0, 0, 3, 232, 2, 0, 0, 2, 0]
        } else {
            &[0, 0, 3, 232, 0x80, 1, 0, 1, 0]
        };
        stream
            .write_all(&begun[..1 + number % begun.len()])
            .await
            .expect("sent");
        slow.push(stream);
    }
    let loaded = write_until_the_end(proxy.address, &STREAMS, "among the slow", 64, 1000).await;
    assert_eq!(loaded.acknowledged.len(), 1000, "{:?}", loaded.failed);
}

/// Writes until the store refuses. Returns the records acknowledged until then, and the refusal.
async fn write_until_refused(
    proxy: &Proxy,
    payload: &[u8],
    at_most: usize,
) -> (Vec<Acknowledged>, String) {
    let mut client = RawClient::connect(proxy.address).await.expect("connects");
    let mut acknowledged = Vec::new();
    for _ in 0..at_most {
        match client.write(STREAMS[0], payload).await.expect("an answer") {
            WriteReply::Stored(dlsn) => acknowledged.push(Acknowledged {
                stream: STREAMS[0].to_owned(),
                dlsn,
                payload: payload.to_vec(),
            }),
            WriteReply::Failed(code, message) => {
                return (acknowledged, format!("{code:?} {message}"));
            }
        }
    }
    panic!("{at_most} records of {} bytes were taken", payload.len());
}

/// Mounts a small file system on the folder. Returns the reason if it cannot.
fn mount_small(folder: &Path) -> Result<Mounted<'_>, String> {
    if !is_root() {
        return Err("only root may mount".to_owned());
    }
    let output = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=100m", "tmpfs"])
        .arg(folder)
        .output();
    match output {
        Ok(output) if output.status.success() => Ok(Mounted(folder)),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Unmounts when dropped.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        Command::new("umount")
            .args(["--lazy".as_ref(), self.0.as_os_str()])
            .status()
            .ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_to_the_writer_and_reads_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let payload = vec![b'x'; 100_000];
    let _mounted = match mount_small(folder.path()) {
        Ok(mounted) => mounted,
        Err(why) => {
            println!(
                "no small file system here ({why}): only the start is tested, with files limited \
                 to 24 MB"
            );
            let arguments = [
                "local",
                "0",
                "--data",
                folder.path().to_str().expect("plain"),
            ];
            // Blocks of 512 bytes. A process that ignores the signal sees the write fail.
            let starting = Starting::dlog_after("trap '' XFSZ && ulimit -f 49152", arguments);
            let _ = starting
                .start()
                .until_exit()
                .await
                .with_code(1)
                .complaining("the disk is full");
            return;
        }
    };
    let (local, local_stats) = Local::start_with_stats(folder.path(), 0).await;
    let (proxy, proxy_stats) = Proxy::start_with_stats(StoreOf::At(&local.uri()), 0, &[]).await;
    for stats in [local_stats, proxy_stats] {
        stats::until(stats, "/readyz", 200, "store: it took writes").await;
    }
    let (acknowledged, refusal) = write_until_refused(&proxy, &payload, 10_000).await;
    println!(
        "{} records of {} bytes were taken, then: {refusal}",
        acknowledged.len(),
        payload.len()
    );
    assert!(refusal.contains("the disk is full"), "{refusal}");
    assert!(!acknowledged.is_empty());
    for stats in [local_stats, proxy_stats] {
        stats::until(stats, "/readyz", 503, "the disk is full").await;
    }
    assert_read_back(&local.connect().await, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_ready_while_its_store_takes_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = ReservedPort::new();
    let (local, local_stats) = Local::start_with_stats(folder.path(), port.number()).await;
    let keeps = local.uri();
    let (_proxy, stats) = Proxy::start_with_stats(StoreOf::At(&keeps), 0, &[]).await;
    stats::until(local_stats, "/healthz", 200, "ok").await;
    stats::until(local_stats, "/readyz", 200, "ready\nstore: it took writes").await;
    stats::until(stats, "/readyz", 200, "ready\nproxy: accepts streams\n").await;

    local.process.signal(Signal::STOP);
    stats::until(stats, "/readyz", 503, "does not answer within 2 s").await;
    local.process.signal(Signal::CONT);
    stats::until(stats, "/readyz", 200, "store: it took writes").await;

    local.process.signal(Signal::KILL);
    let _ = local.process.until_exit().await;
    let body = stats::until(stats, "/readyz", 503, "last success").await;
    assert!(
        body.contains(&keeps.to_string()) || body.contains("cannot be reached"),
        "{body}"
    );
    let _again = Local::start(folder.path(), port.number()).await;
    stats::until(stats, "/readyz", 200, "store: it took writes").await;
}

/// A copy of the program in `folder`, for a user who may not write there.
fn program_for_others(folder: &Path) -> PathBuf {
    // Another user must be able to get there and to start the program, which may lie in a home of
    // its own.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("ours");
    let program = folder.join("dlog");
    // By a process of its own: a child that another test starts meanwhile would have this process's
    // file open for writing for a moment, and such a file cannot be run.
    let copied = Command::new("cp")
        .arg(binary::dlog())
        .arg(&program)
        .status();
    assert!(copied.expect("cp is there").success(), "it copies");
    program
}

/// A command as a user to whom permissions mean something: they mean nothing to root.
fn as_another<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>) -> Starting {
    let starting = Starting::copy(program, arguments);
    if is_root() {
        starting.as_user(NOBODY)
    } else {
        starting
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_can_be_read_and_says_why_it_cannot() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = program_for_others(folder.path());
    let data = folder.path().join("store");
    let proxy = Proxy::start(StoreOf::In(&data), 0, &[]).await;
    let loaded = write_until_the_end(proxy.address, &STREAMS, "r", 8, 500).await;
    assert_eq!(loaded.acknowledged.len(), 500);
    proxy.process.kill_9().await;
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    };
    let files = || {
        fs::read_dir(&data)
            .expect("readable")
            .map(|it| it.expect("a file").path())
    };
    files().for_each(|path| set_mode(&path, 0o444));
    set_mode(&data, 0o555);
    let contents = || {
        files()
            .map(|path| (path.clone(), fs::read(path).ok()))
            .collect::<Vec<_>>()
    };
    let before = contents();
    let data_text = data.to_str().expect("plain");

    let mut process = as_another(&program, ["local", "0", "--data", data_text]).start();
    let address = process.until_listening().await;
    let local = Local { process, address };
    let store = local.connect().await;
    assert_eq!(assert_read_back(&store, &loaded.acknowledged).await, 500);
    let created = store.create(&StreamName::new("new").expect("a name")).await;
    assert!(
        matches!(created, Err(StoreError::ReadOnly { .. })),
        "{created:?}"
    );
    let tool = [
        "tool",
        "count",
        "-u",
        &local.uri().to_string(),
        "-s",
        STREAMS[0],
    ];
    let _ = Starting::dlog(tool).start().until_exit().await.with_code(0);

    let flags = [
        "proxy",
        "-p",
        "0",
        "-sp",
        "0",
        "--shard-id",
        "1",
        "-mx",
        "--read-only",
    ];
    let flags = flags.into_iter().chain(["--data", data_text]);
    let mut proxy = as_another(&program, flags).start();
    proxy.until_listening().await;
    let stats = stats::address(&mut proxy).await;
    stats::until(stats, "/readyz", 503, "cannot be written").await;
    drop((local, proxy));
    assert_eq!(contents(), before, "nothing was written");

    let volume = files().find(|path| path.to_string_lossy().contains("volume"));
    let volume = volume.expect("there is one");
    set_mode(&volume, 0o000);
    let _ = as_another(&program, ["local", "0", "--data", data_text])
        .start()
        .until_exit()
        .await
        .with_code(1)
        .complaining("this user may not read it")
        .complaining(volume.to_str().expect("plain"));
    set_mode(&data, 0o755);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_told_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = program_for_others(folder.path());
    let data = folder.path().join("store");
    fs::create_dir(&data).expect("ours");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).expect("ours");
    for arguments in [["local", "0", "--data"], ["proxy", "-p0", "--data"]] {
        let arguments = arguments.iter().map(AsRef::as_ref);
        let _ = as_another(&program, arguments.chain([data.as_os_str()]))
            .start()
            .until_exit()
            .await
            .with_code(1)
            .complaining(data.to_str().expect("plain"));
    }
    assert_eq!(
        fs::read_dir(&data).expect("readable").count(),
        0,
        "nothing was left there"
    );
}
