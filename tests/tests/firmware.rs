//! A device writes to the real proxy: the firmware of `tests/firmware` in QEMU, `dlog proxy` on
//! this machine.
//!
//! `tests/run firmware` installs what this needs, builds the firmware and names its folder in
//! `FIRMWARE`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use distributedlog::Dlsn;
use distributedlog_bare::trace;
use distributedlog_reader::{MergeSettings, MultiReader, ReadEvent};
use distributedlog_store::{LogStore, StreamName};
use distributedlog_tests::load::{self, RawClient};
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::{Process, Starting};
use distributedlog_tests::records::{Acknowledged, assert_read_back};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};
use distributedlog_tests::stats;
use distributedlog_tokio::ProxyClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Number of records that the firmware writes.
const RECORDS: usize = 1000;
/// Last record of each stream, for the merged reader.
const END: &[u8] = b"the end";

/// The machine with this firmware in it. Its serial port is the process's input and output; the
/// host is reached by the machine's own network.
fn machine(firmware: &str) -> Process {
    machine_with(firmware, "none")
}

/// The same, with QEMU's own console there.
fn machine_with(firmware: &str, monitor: &str) -> Process {
    let folder = std::env::var_os("FIRMWARE")
        .expect("FIRMWARE names the folder of the built firmware: use `tests/run firmware`");
    let firmware = PathBuf::from(folder).join(firmware);
    assert!(firmware.is_file(), "there is no {}", firmware.display());
    let arguments = "-M lm3s6965evb -display none -serial stdio -nic \
                     user,model=stellaris,id=network -semihosting-config enable=on,target=native";
    let named = [
        "-monitor",
        monitor,
        "-kernel",
        firmware.to_str().expect("a plain name"),
    ];
    let arguments: Vec<&str> = arguments.split_whitespace().chain(named).collect();
    Starting::program(Path::new("qemu-system-arm"), arguments)
        .with_stdin()
        .start()
}

/// QEMU's own console.
struct Console(UnixStream);

impl Console {
    async fn connect(path: &Path) -> Self {
        let mut console = Self(
            UnixStream::connect(path)
                .await
                .expect("QEMU's console is there"),
        );
        console.until_prompt().await;
        console
    }

    /// Takes the link of the machine's network card down, or up again; returns when that is done.
    async fn set_link(&mut self, state: &str) {
        self.0
            .write_all(format!("set_link network {state}\n").as_bytes())
            .await
            .expect("QEMU's console listens");
        self.until_prompt().await;
    }

    async fn until_prompt(&mut self) {
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains("\n(qemu) ") {
            assert!(
                self.0
                    .read_buf(&mut said)
                    .await
                    .expect("QEMU's console answers")
                    > 0,
                "QEMU has ended"
            );
        }
    }
}

/// Reads the firmware's lines up to `until`. Returns every record that they report as stored.
async fn read_until(machine: &mut Process, until: &str, stored: &mut Vec<Acknowledged>) {
    machine
        .until_line(until, |_, line| {
            if let Some(record) = line.strip_prefix("stored ") {
                stored.push(
                    parse_stored(record).unwrap_or_else(|| panic!("the firmware said: {line}")),
                );
            }
            (line == until).then_some(())
        })
        .await;
}

/// `NUMBER STREAM DLSN`.
fn parse_stored(record: &str) -> Option<Acknowledged> {
    let mut words = record.split(' ');
    let number: usize = words.next()?.parse().ok()?;
    let (stream, dlsn) = (
        words.next()?.to_owned(),
        words.next()?.parse::<Dlsn>().ok()?,
    );
    Some(Acknowledged {
        stream,
        dlsn,
        payload: format!("record-{number}").into_bytes(),
    })
}

#[tokio::test]
#[ignore = "needs qemu-system-arm and the built firmware: tests/run firmware"]
async fn what_a_device_reports_stored_is_there_over_a_stall_a_killed_proxy_and_a_lost_link() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["-sp", "0", "--test-only-faults"];
    let reserved = ReservedPort::new();
    let port = reserved.number();
    let mut proxy = Proxy::start(StoreOf::In(folder.path()), port, &flags).await;
    let stats = stats::address(&mut proxy.process).await;

    let consoles = tempfile::tempdir().expect("a folder");
    let console = consoles.path().join("qemu");
    let mut machine = machine_with(
        "distributedlog-firmware",
        &format!("unix:{},server=on,wait=off", console.display()),
    );
    let mut stored = Vec::new();
    read_until(&mut machine, "ready", &mut stored).await;
    machine
        .type_in(&format!("{}\n", proxy.address.port()))
        .await;
    read_until(&mut machine, "healthy done", &mut stored).await;
    stats::put(stats, &format!("/faults/{}/stall", STREAMS[2])).await;
    machine.type_in("go\n").await;
    read_until(&mut machine, "restart the proxy", &mut stored).await;
    proxy.process.kill_9().await;
    let proxy = Proxy::start(StoreOf::In(folder.path()), port, &[]).await;
    read_until(&mut machine, "cut the link", &mut stored).await;
    let mut console = Console::connect(&console).await;
    console.set_link("off").await;
    machine.type_in("go\n").await;
    read_until(&mut machine, "mend the link", &mut stored).await;
    console.set_link("on").await;
    read_until(&mut machine, "done", &mut stored).await;
    let ended = machine.until_exit().await.with_code(0);
    println!(
        "{}",
        ended
            .lines
            .iter()
            .map(|(_, line)| line.as_str())
            .filter(|line| line.contains("ounters"))
            .collect::<Vec<_>>()
            .join("\n")
    );

    proxy.process.kill_9().await;
    let local = Local::start(folder.path(), 0).await;
    let payloads: HashSet<&[u8]> = stored.iter().map(|record| &*record.payload).collect();
    assert_eq!(
        (stored.len(), payloads.len()),
        (RECORDS, RECORDS),
        "each record is acknowledged once"
    );
    let store = local.connect().await;
    let held = assert_read_back(&store, &stored).await;
    assert_merged_once(&local, &store, &payloads).await;
    println!(
        "{RECORDS} records acknowledged and read back, {} copies beside them, each once through \
         the merged reader",
        held - RECORDS
    );
}

/// R12: a merged reader of all streams delivers each of these records once, although the
/// device stored duplicates.
async fn assert_merged_once(local: &Local, store: &Arc<dyn LogStore>, expected: &HashSet<&[u8]>) {
    // A record without an identity at the end of each stream: once all have come, everything before
    // them has.
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &[]).await;
    let mut client = RawClient::connect(proxy.address)
        .await
        .expect("the proxy listens");
    for stream in STREAMS {
        let said = client.write(stream, END).await.expect("the proxy answers");
        assert!(matches!(said, load::WriteReply::Stored(_)), "{said:?}");
    }
    let starts = STREAMS.map(|stream| {
        (
            StreamName::new(stream).expect("a valid name"),
            Dlsn::INITIAL,
        )
    });
    let mut reader = MultiReader::new(store, starts, MergeSettings::default());
    let (mut delivered, mut ends) = (HashSet::new(), 0);
    while ends < STREAMS.len() {
        let merged = reader
            .next()
            .await
            .expect("the streams are there")
            .expect("the store is read");
        let ReadEvent::Record(record) = merged.event else {
            panic!("a set of the device cannot be read: {merged:?}")
        };
        if record.payload == END {
            ends += 1;
        } else {
            assert!(
                delivered.insert(record.payload.clone()),
                "{record:?} came twice"
            );
        }
    }
    let delivered: HashSet<&[u8]> = delivered.iter().map(|payload| &**payload).collect();
    assert_eq!(
        &delivered, expected,
        "the records that were acknowledged, and no others"
    );
}

/// Lines of the device without a network.
enum DeviceLine {
    /// Over the serial port: this attempt is to write these bytes to this stream.
    Write {
        attempt: u64,
        stream: String,
        record_set: Vec<u8>,
    },
    /// All records are written.
    Done,
}

/// `write ATTEMPT STREAM HEX`.
fn parse_write(line: &str) -> Option<DeviceLine> {
    let mut words = line.strip_prefix("write ")?.split(' ');
    let (attempt, stream, hex) = (
        words.next()?.parse().ok()?,
        words.next()?.to_owned(),
        words.next()?,
    );
    let bytes = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
    Some(DeviceLine::Write {
        attempt,
        stream,
        record_set: bytes.collect::<Option<_>>()?,
    })
}

#[tokio::test]
#[ignore = "needs qemu-system-arm and the built firmware: tests/run firmware"]
async fn a_device_writes_through_a_gateway_on_its_serial_port_that_loses_every_fifth_line() {
    const RECORDS: usize = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(StoreOf::In(folder.path()), 0, &[]).await;
    let client = ProxyClient::builder()
        .proxies(proxy.name())
        .build()
        .await
        .expect("connects");

    let mut machine = machine("serial");
    let mut stored = Vec::new();
    let mut lost = 0;
    loop {
        let said = machine.until_line("that it is done", |_, line| {
            stored.extend(line.strip_prefix("stored ").and_then(parse_stored));
            if line == "done" {
                Some(DeviceLine::Done)
            } else {
                parse_write(line)
            }
        });
        match said.await {
            DeviceLine::Write { attempt, .. } if attempt % 5 == 4 => lost += 1,
            DeviceLine::Write {
                attempt,
                stream,
                record_set,
            } => {
                let answer = match client.write_record_set(&stream, &record_set).await {
                    Ok(dlsn) => format!("stored {attempt} {}\n", dlsn.to_text()),
                    Err(_) => format!("failed {attempt}\n"),
                };
                machine.type_in(&answer).await;
            }
            DeviceLine::Done => break,
        }
    }
    let _ = machine.until_exit().await.with_code(0);
    client.close().await;
    proxy.process.kill_9().await;
    assert_eq!(stored.len(), RECORDS, "each record is acknowledged once");
    assert!(
        lost > 0,
        "some lines were lost, and their records went elsewhere"
    );
    let local = Local::start(folder.path(), 0).await;
    let held = assert_read_back(&local.connect().await, &stored).await;
    println!(
        "{RECORDS} records over the serial port, {lost} lines lost, {} copies",
        held - RECORDS
    );
}

/// R15 across machines: 64-bit with floating point in hardware here, 32-bit without it there.
#[tokio::test]
#[ignore = "needs qemu-system-arm and the built firmware: tests/run firmware"]
async fn a_life_from_the_same_seed_is_the_same_on_the_device_and_on_the_host() {
    let ended = machine("figures").until_exit().await.with_code(0);
    let said: Vec<&str> = ended
        .lines
        .iter()
        .map(|(_, line)| line.as_str())
        .filter(|line| line.starts_with("trace."))
        .collect();
    let here: Vec<String> = trace::SEEDS
        .iter()
        .map(|seed| format!("trace.{seed:x} {:016x}", trace::of_life(*seed)))
        .collect();
    println!("{}", here.join("\n"));
    assert_eq!(said, here);
}
