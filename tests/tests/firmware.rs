//! A device writes to the real proxy: the firmware of `tests/firmware` in QEMU, `dlog proxy` on this machine.
//!
//! `tests/run firmware` installs what this needs, builds the firmware and names it in `FIRMWARE`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use distributedlog::Dlsn;
use distributedlog_tests::process::{Process, Starting};
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Keeps, Local, Proxy, STREAMS};
use distributedlog_tests::stats;

/// How many records the firmware writes.
const RECORDS: usize = 1000;

/// The machine with the firmware in it. Its serial port is the process's input and output; the host is reached by the machine's own
/// network.
fn machine() -> Process {
    let firmware = std::env::var_os("FIRMWARE").expect("FIRMWARE names the built firmware: use `tests/run firmware`");
    let firmware = PathBuf::from(firmware);
    assert!(firmware.is_file(), "FIRMWARE names {}, which is no file", firmware.display());
    let arguments = "-M lm3s6965evb -display none -monitor none -serial stdio -nic user,model=stellaris \
                     -semihosting-config enable=on,target=native -kernel";
    let arguments = arguments.split_whitespace().map(str::to_owned).chain([firmware.to_str().expect("a plain name").to_owned()]);
    Starting::program(Path::new("qemu-system-arm"), arguments).with_stdin().start()
}

/// Reads what the firmware says until it says `until`; every record that it says to be stored on the way.
async fn read_until(machine: &mut Process, until: &str, stored: &mut Vec<Acknowledged>) {
    machine
        .until_line(until, |_, line| {
            if let Some(record) = line.strip_prefix("stored ") {
                stored.push(parse_stored(record).unwrap_or_else(|| panic!("the firmware said: {line}")));
            }
            (line == until).then_some(())
        })
        .await;
}

/// `NUMBER STREAM DLSN`.
fn parse_stored(record: &str) -> Option<Acknowledged> {
    let mut words = record.split(' ');
    let number: usize = words.next()?.parse().ok()?;
    let (stream, dlsn) = (words.next()?.to_owned(), words.next()?.parse::<Dlsn>().ok()?);
    Some(Acknowledged { stream, dlsn, payload: format!("record-{number}").into_bytes() })
}

#[tokio::test]
#[ignore = "needs qemu-system-arm and the built firmware: tests/run firmware"]
async fn what_a_device_says_to_be_stored_is_there_over_a_stalled_stream_and_a_killed_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["-sp", "0", "--test-only-faults"];
    let mut proxy = Proxy::start(Keeps::In(folder.path()), 0, &flags).await;
    let stats = stats::address(&mut proxy.process).await;

    let mut machine = machine();
    let mut stored = Vec::new();
    read_until(&mut machine, "ready", &mut stored).await;
    machine.type_in(&format!("{}\n", proxy.address.port())).await;
    read_until(&mut machine, "healthy done", &mut stored).await;
    stats::put(stats, &format!("/faults/{}/stall", STREAMS[2])).await;
    machine.type_in("go\n").await;
    read_until(&mut machine, "restart the proxy", &mut stored).await;
    let port = proxy.address.port();
    proxy.process.kill_9().await;
    let proxy = Proxy::start(Keeps::In(folder.path()), port, &[]).await;
    read_until(&mut machine, "done", &mut stored).await;
    let ended = machine.until_exit().await.with_code(0);
    println!(
        "{}",
        ended.lines.iter().map(|(_, line)| line.as_str()).filter(|line| line.contains("ounters")).collect::<Vec<_>>().join("\n")
    );

    proxy.process.kill_9().await;
    let local = Local::start(folder.path(), 0).await;
    let payloads: HashSet<&[u8]> = stored.iter().map(|record| &*record.payload).collect();
    assert_eq!((stored.len(), payloads.len()), (RECORDS, RECORDS), "each record is acknowledged once");
    let held = assert_read_back(&local.connect().await, &stored).await;
    println!("{RECORDS} records acknowledged and read back, {} copies beside them", held - RECORDS);
}
