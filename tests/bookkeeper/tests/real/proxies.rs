//! Our write proxies as processes, and clients that keep what is known of each record.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use distributedlog::{Dlsn, WriteState};
use distributedlog_bookkeeper_tests::peer::LogRecord;
use distributedlog_reader::{LogReader, ReadEvent};
use distributedlog_store::bookkeeper::{self, BookKeeperSettings};
use distributedlog_store::uri::Uri;
use distributedlog_store::{LogStore, StreamName};
use distributedlog_tests::process::{Process, Starting};
use distributedlog_tokio::ProxyClient;
use rustix::process::Signal;

/// A running write proxy of ours. Dropping it kills it.
pub(crate) struct OurProxy {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl OurProxy {
    /// Starts `dlog proxy` on a free port, with these further flags.
    pub(crate) async fn start(uri: &str, flags: &[&str]) -> Self {
        let arguments = [&["proxy", "-u", uri, "-p", "0"], flags].concat();
        let mut process = Starting::dlog(arguments).start();
        let address = process.until_listening().await;
        Self { process, address }
    }

    /// Bytes of its memory that are in use.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let id = self.process.id().expect("it runs");
        let text = std::fs::read_to_string(format!("/proc/{id}/statm")).expect("Linux");
        let pages = text.split(' ').nth(1).and_then(|it| it.parse::<u64>().ok());
        pages.expect("a number of pages") * 4096
    }

    /// Kills it as `kill -9` does.
    pub(crate) async fn kill_9(mut self) {
        self.process.signal(Signal::KILL);
        self.process.until_gone().await;
    }

    /// Returns a client of this proxy alone.
    pub(crate) async fn client(&self) -> ProxyClient {
        client(&[self.address]).await
    }
}

impl Drop for OurProxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            const LINES: usize = 60;
            let said = self.process.said();
            let lines: Vec<&str> = said.lines().collect();
            let from = lines.len().saturating_sub(LINES);
            eprintln!("---- proxy {}:\n{}", self.address, lines[from..].join("\n"));
        }
    }
}

/// Returns a client of these proxies.
pub(crate) async fn client(proxies: &[SocketAddr]) -> ProxyClient {
    let hosts: Vec<String> = proxies.iter().map(ToString::to_string).collect();
    let client = ProxyClient::builder()
        .proxies(format!("inet!{}", hosts.join(",")))
        .attempt_timeout(Duration::from_secs(30))
        .request_timeout(Duration::from_secs(30));
    client.build().await.expect("a proxy listens")
}

/// Records of a load, by what the client knows of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Acknowledged, with their positions.
    pub(crate) acknowledged: Vec<(Dlsn, String)>,
    /// Refused with the promise that they are nowhere.
    pub(crate) not_written: Vec<String>,
    /// Neither.
    pub(crate) unknown: Vec<String>,
    /// Messages of the errors.
    pub(crate) errors: Vec<String>,
}

impl Known {
    pub(crate) fn extend(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.not_written.extend(other.not_written);
        self.unknown.extend(other.unknown);
        self.errors.extend(other.errors);
    }

    /// Takes what a Java writer has reported as acknowledged. `begun` is what else it may have
    /// written: of its records it says nothing when it is killed.
    pub(crate) fn extend_java(&mut self, acknowledged: &[LogRecord]) {
        let records = acknowledged.iter().map(|it| (dlsn(it.dlsn), it.text()));
        self.acknowledged.extend(records);
    }

    /// Asserts that a reader's records are those that are known: nothing lost, nothing that was
    /// said to be not written, nothing twice, positions that ascend. `may_be` says of the others
    /// that they may be there.
    pub(crate) fn assert_read(&self, read: &[(Dlsn, String)], may_be: impl Fn(&str) -> bool) {
        let ascend = read.is_sorted_by(|one, next| one.0 < next.0);
        assert!(ascend, "positions do not ascend");
        let at: std::collections::HashMap<&str, Dlsn> =
            read.iter().map(|(at, text)| (text.as_str(), *at)).collect();
        assert_eq!(at.len(), read.len(), "a record is there twice");
        for (dlsn, text) in &self.acknowledged {
            assert_eq!(at.get(text.as_str()), Some(dlsn), "{text} is lost");
        }
        for text in &self.not_written {
            let found = at.get(text.as_str());
            assert_eq!(found, None, "{text} was said to be not written");
        }
        let known: std::collections::HashSet<&str> = self
            .acknowledged
            .iter()
            .map(|(_, text)| text.as_str())
            .chain(self.unknown.iter().map(String::as_str))
            .collect();
        for (_, text) in read {
            let expected = known.contains(text.as_str()) || may_be(text);
            assert!(expected, "{text} was written by nobody");
        }
    }
}

/// Position of Java's.
pub(crate) fn dlsn([segment, entry, slot]: [i64; 3]) -> Dlsn {
    Dlsn {
        log_segment_sequence_no: segment,
        entry_id: entry,
        slot_id: slot,
    }
}

/// Positions and payloads of records that Java has read.
pub(crate) fn placed(records: &[LogRecord]) -> Vec<(Dlsn, String)> {
    let placed = records.iter().map(|it| (dlsn(it.dlsn), it.text()));
    placed.collect()
}

/// A client that writes to one stream, this many records at a time, until it is stopped.
pub(crate) struct Load {
    is_stopped: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    /// Last log segment with an acknowledged record.
    segment: Arc<AtomicI64>,
    tasks: Vec<tokio::task::JoinHandle<Known>>,
}

impl Load {
    /// Begins to write records `PREFIX-TASK-NUMBER` of about a hundred bytes.
    pub(crate) fn start(client: &ProxyClient, stream: &str, prefix: &str, tasks: usize) -> Self {
        Self::paced(client, stream, prefix, tasks, Duration::ZERO)
    }

    /// As [`start`](Self::start), with a pause behind each record.
    pub(crate) fn paced(
        client: &ProxyClient,
        stream: &str,
        prefix: &str,
        tasks: usize,
        pause: Duration,
    ) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let segment = Arc::new(AtomicI64::new(0));
        let spawn = |task: usize| {
            let (client, stream) = (client.clone(), stream.to_owned());
            let (prefix, stopped) = (format!("{prefix}-{task}"), Arc::clone(&is_stopped));
            let acknowledged = Arc::clone(&acknowledged);
            let segment = Arc::clone(&segment);
            tokio::spawn(async move {
                let mut known = Known::default();
                let mut number = 0;
                while !stopped.load(Ordering::Relaxed) {
                    let text = format!("{prefix}-{number}");
                    number += 1;
                    match client.write(&stream, text.as_bytes()).await {
                        Ok(at) => {
                            known.acknowledged.push((at, text));
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                            segment.fetch_max(at.log_segment_sequence_no, Ordering::Relaxed);
                        }
                        Err(error) => {
                            match error.known() {
                                WriteState::NotWritten | WriteState::Rejected => {
                                    known.not_written.push(text);
                                }
                                WriteState::Unknown => known.unknown.push(text),
                            }
                            known.errors.push(error.to_string());
                            // What is down stays down for a while.
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                known
            })
        };
        Self {
            tasks: (0..tasks).map(spawn).collect(),
            is_stopped,
            acknowledged,
            segment,
        }
    }

    /// Waits until this many further records are acknowledged.
    pub(crate) async fn until_further(&self, count: usize) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + count;
        let acknowledged = async {
            while self.acknowledged.load(Ordering::Relaxed) < goal {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        crate::ours::within("a write", acknowledged).await;
    }

    /// Waits until a record of this log segment, or of a later one, is acknowledged.
    pub(crate) async fn until_segment(&self, number: i64) {
        let acknowledged = async {
            while self.segment.load(Ordering::Relaxed) < number {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        crate::ours::within("a write", acknowledged).await;
    }

    /// Begins no further records.
    pub(crate) fn halt(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Begins no further records, and waits for the outcomes of those in flight.
    pub(crate) async fn stop(self) -> Known {
        self.halt();
        let mut all = Known::default();
        for task in self.tasks {
            let known = crate::ours::within("a write", task).await;
            all.extend(known.expect("no bug in the test"));
        }
        all
    }
}

/// Connects our store to a namespace, as the command does.
pub(crate) async fn store(uri: &str) -> Arc<dyn LogStore> {
    let uri: Uri = uri.parse().expect("a URI");
    let store = bookkeeper::connect(&uri, BookKeeperSettings::default()).await;
    Arc::new(store.expect("ZooKeeper answers"))
}

/// Reads all records of a stream with our reader.
pub(crate) async fn read(store: &Arc<dyn LogStore>, stream: &str) -> Vec<(Dlsn, String)> {
    let name: StreamName = stream.parse().expect("a valid name");
    let mut reader = LogReader::new(Arc::clone(store), name, Dlsn::INITIAL);
    let mut records = Vec::new();
    while let Some(event) = reader.next_available().await.expect("it is readable") {
        match event {
            ReadEvent::Record(record) => {
                let text = String::from_utf8_lossy(&record.payload).into_owned();
                records.push((record.dlsn, text));
            }
            ReadEvent::Malformed(set) => panic!("{stream}: {set}"),
        }
    }
    records
}
