//! A consumer that is built from the packaged crates, and commits positions with its own data, is
//! killed again and again while records are written and proxies die: it has each record once.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};
use distributedlog_testkit::Random;
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::{Process, STEP_TIMEOUT, Starting};
use distributedlog_tests::records::read_all;
use distributedlog_tests::stack::{Local, Proxy, StoreOf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Names the built consumer. `tests/parts/packaged` sets it.
const VARIABLE: &str = "CONSUMER_BINARY";
const KILLS: u32 = 50;
const STREAMS: [&str; 4] = ["orders-0", "orders-1", "orders-2", "orders-3"];
const RECORDS_OF_SET: u64 = 3;
const TOKEN: &str = "a-token-of-24-characters";

/// Two proxies over one store.
struct Proxies {
    local: Local,
    ports: [(ReservedPort, ReservedPort); 2],
    token: PathBuf,
    running: [Option<Proxy>; 2],
}

impl Proxies {
    async fn start(folder: &Path) -> Self {
        let token = folder.join("token");
        std::fs::write(&token, TOKEN).expect("written");
        let mut proxies = Self {
            local: Local::start(&folder.join("store"), 0).await,
            ports: [(); 2].map(|()| (ReservedPort::new(), ReservedPort::new())),
            token,
            running: [None, None],
        };
        for index in 0..2 {
            proxies.restart(index).await;
        }
        proxies
    }

    fn http(&self, index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[index].1.number()))
    }

    /// Kills the proxy, if it runs, and starts it again on the same ports.
    async fn restart(&mut self, index: usize) {
        if let Some(proxy) = self.running[index].take() {
            proxy.process.kill_9().await;
        }
        let (thrift, http) = &self.ports[index];
        let http = http.number().to_string();
        let token = self.token.to_str().expect("a plain name");
        let flags = ["--http-port", &http, "--http-token-file", token];
        let uri = self.local.uri();
        let proxy = Proxy::start(StoreOf::At(&uri), thrift.number(), &flags).await;
        self.running[index] = Some(proxy);
    }
}

/// Writes sets until it is stopped, each to two of the streams, as a writer does when one is slow.
/// Returns the number of sets.
async fn write(proxies: [SocketAddr; 2], stop: Arc<AtomicBool>) -> u64 {
    let mut sets = 0;
    let mut owners = [0; STREAMS.len()];
    while !stop.load(Ordering::Relaxed) {
        let body = set(sets);
        for copy in 0..2 {
            let stream = usize::try_from(sets).expect("small") + copy;
            let stream = stream % STREAMS.len();
            // Until it is stored: the reply of a proxy that was killed is lost, and the set is sent
            // again.
            while !post(proxies[owners[stream]], STREAMS[stream], &body).await {
                owners[stream] = 1 - owners[stream];
                tokio::task::yield_now().await;
            }
        }
        sets += 1;
    }
    sets
}

fn set(sequence: u64) -> Vec<u8> {
    let mut buffer = vec![0; 1024];
    let mut builder = RecordSetBuilder::new(buffer.len(), true);
    for slot in 0..RECORDS_OF_SET {
        builder
            .append(&mut buffer, record(sequence, slot).as_bytes())
            .expect("it fits");
    }
    let identity = SetIdentity {
        writer: WriterId(*b"the only writer!"),
        sequence,
    };
    builder.finish(&mut buffer, Some(&identity)).to_vec()
}

fn record(sequence: u64, slot: u64) -> String {
    format!("order {sequence}.{slot}")
}

/// Appends a set. Returns true if it is stored.
async fn post(proxy: SocketAddr, stream: &str, body: &[u8]) -> bool {
    let posted = async {
        let mut socket = TcpStream::connect(proxy).await?;
        let head = format!(
            "POST /v1/streams/{stream}/records HTTP/1.1\r\nhost: {proxy}\r\nconnection: close\r\n\
             authorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\
             content-type: application/vnd.distributedlog.record-set\r\n\r\n",
            body.len()
        );
        socket.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut response = Vec::new();
        socket.read_to_end(&mut response).await?;
        std::io::Result::Ok(response.starts_with(b"HTTP/1.1 200"))
    };
    posted.await.unwrap_or(false)
}

/// The records of the ledger, and how often each is there.
fn ledger(path: &Path) -> BTreeMap<String, u32> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut counts = BTreeMap::new();
    for line in text.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else {
            break;
        };
        for record in line.split('\t').skip(1) {
            *counts.entry(record.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// Waits until the ledger has more than `before` records. Returns their number.
async fn grown(path: &Path, before: usize, consumer: &Process) -> usize {
    let growing = async {
        loop {
            let count = ledger(path).len();
            if count > before {
                return count;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(STEP_TIMEOUT, growing)
        .await
        .unwrap_or_else(|_| panic!("no more than {before} records: {}", consumer.said()))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the consumer that tests/parts/packaged builds from the packaged crates"]
async fn a_consumer_that_is_killed_fifty_times_has_each_record_once() {
    let binary = std::env::var_os(VARIABLE).unwrap_or_else(|| panic!("{VARIABLE} is not set"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut proxies = Proxies::start(folder.path()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(write([proxies.http(0), proxies.http(1)], stop.clone()));

    let path = folder.path().join("ledger");
    let urls = format!("http://{},http://{}", proxies.http(0), proxies.http(1));
    let consumer = || {
        let file = path.to_str().expect("a plain name");
        let arguments = [file, TOKEN, &urls].into_iter().chain(STREAMS);
        Starting::program(Path::new(&binary), arguments).start()
    };
    let mut random = Random::new(16);
    let mut held = 0;
    let mut torn = 0;
    for kill in 0..KILLS {
        let running = consumer();
        held = grown(&path, held, &running).await;
        // At any point of what it does then.
        let moment = u64::try_from(random.index(60_000)).expect("small");
        tokio::time::sleep(Duration::from_micros(moment)).await;
        running.kill_9().await;
        let text = std::fs::read(&path).expect("it has records");
        torn += u32::from(!text.ends_with(b"\n"));
        if kill % 10 == 5 {
            proxies.restart(random.index(2)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let sets = load.await.expect("no panic");
    let expected = usize::try_from(sets * RECORDS_OF_SET).expect("small");

    let running = consumer();
    while held < expected {
        held = grown(&path, held, &running).await;
    }
    drop(running);
    let counts = ledger(&path);
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    for sequence in 0..sets {
        for slot in 0..RECORDS_OF_SET {
            let record = record(sequence, slot);
            assert!(counts.contains_key(&record), "{record} is lost");
        }
    }
    assert_eq!(counts.len(), expected, "nothing else");

    let store = proxies.local.connect().await;
    let mut stored = 0;
    for stream in STREAMS {
        stored += read_all(&store, stream).await.len();
    }
    println!(
        "{KILLS} kills of the consumer ({torn} within a transaction), 5 of proxies: {expected} \
         records, stored {stored} times, each applied once"
    );
    assert!(stored >= 2 * expected, "each was stored twice at least");
}
