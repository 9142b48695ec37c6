//! Positions are the same in Rust and in the npm package: one reader goes on where the other
//! stopped.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};
use distributedlog_proxy::{Proxy, Settings};
use distributedlog_reader::{HttpSource, MultiStreamReader, ReaderPosition};
use distributedlog_store::{EntryRecord, LogStore};
use distributedlog_testkit::Random;
use distributedlog_testkit::store::MemoryStore;
use distributedlog_tests::process::{From, Starting};

const STREAMS: [&str; 3] = ["s-0", "s-1", "s-2"];
const RECORDS_OF_SET: u32 = 3;

/// Forty sets, each of them in two of the streams, in any order.
fn fill(store: &MemoryStore, random: &mut Random) -> Vec<String> {
    let mut entries = [0; STREAMS.len()];
    let mut expected = Vec::new();
    let mut sets: Vec<u64> = (0..40).chain(0..40).collect();
    for index in (1..sets.len()).rev() {
        sets.swap(index, random.index(index + 1));
    }
    for sequence in sets {
        let stream = random.index(STREAMS.len());
        let dlsn = Dlsn::new(1, entries[stream], 0);
        entries[stream] += 1;
        let name = STREAMS[stream].parse().expect("a name");
        store.put(&name, dlsn, vec![set(sequence)]);
    }
    for sequence in 0..40 {
        expected.extend((0..RECORDS_OF_SET).map(|slot| format!("{sequence}.{slot}")));
    }
    expected.sort();
    expected
}

fn set(sequence: u64) -> EntryRecord {
    let mut buffer = vec![0; 1024];
    let mut builder = RecordSetBuilder::new(buffer.len(), true);
    for slot in 0..RECORDS_OF_SET {
        builder
            .append(&mut buffer, format!("{sequence}.{slot}").as_bytes())
            .expect("it fits");
    }
    let identity = SetIdentity {
        writer: WriterId([7; 16]),
        sequence,
    };
    EntryRecord {
        payload: Bytes::copy_from_slice(builder.finish(&mut buffer, Some(&identity))),
        slots: RECORDS_OF_SET,
        is_record_set: true,
    }
}

/// Reads by the npm package. Returns the records and the position.
async fn read_in_node(url: &str, count: usize, position: &str) -> (Vec<String>, String) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The package as the proxy serves it to its page.
    let package = here.join("../dlog/proxy/src/page/package");
    let script = here.join("tests/npm_positions/reader.mjs");
    let arguments = [
        script.to_str().expect("a plain name"),
        package.to_str().expect("a plain name"),
        url,
        &STREAMS.join(","),
        &count.to_string(),
        position,
    ];
    let ended = Starting::program(Path::new("node"), arguments)
        .start()
        .until_exit()
        .await
        .with_code(0);
    let text = ended.text(From::Stdout);
    let mut lines: Vec<&str> = text.lines().collect();
    let position = lines.pop().expect("a position").to_owned();
    let records = lines
        .iter()
        .map(|line| serde_json::from_str(line).expect("a text"));
    (records.collect(), position)
}

/// Reads by the Rust crate. Returns the records and the position.
async fn read_here(url: &str, count: usize, position: &str) -> (Vec<String>, String) {
    let saved = (!position.is_empty())
        .then(|| ReaderPosition::from_json(position).expect("the npm package's position"));
    let mut reader = MultiStreamReader::builder(HttpSource::new([url]))
        .streams(STREAMS)
        .position(saved)
        .build()
        .expect("valid");
    let mut records = Vec::new();
    while records.len() < count {
        let next = reader.next().await.expect("no end").expect("no error");
        records.push(String::from_utf8_lossy(&next.record.payload).into_owned());
    }
    (records, reader.position().to_json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_in_rust_and_one_of_the_npm_package_go_on_where_the_other_stopped() {
    if std::process::Command::new("node")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("Node is not installed, so nothing was compared");
        return;
    }
    let store = MemoryStore::new();
    let mut random = Random::new(5);
    let expected = fill(&store, &mut random);
    let any = core::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings::builder().listen(any).http_listen(Some(any));
    let settings = settings.build().expect("valid settings");
    let proxy = Proxy::start(settings, Arc::clone(&store) as Arc<dyn LogStore>)
        .await
        .expect("a free port");
    let url = format!("http://{}", proxy.http_addr().expect("it was asked for"));

    let (mut records, mut position) = (Vec::new(), String::new());
    for turn in 0.. {
        let left = expected.len() - records.len();
        if left == 0 {
            break;
        }
        // Often within a set.
        let count = left.min(10 + random.index(20));
        let (read, next) = if turn % 2 == 0 {
            read_in_node(&url, count, &position).await
        } else {
            read_here(&url, count, &position).await
        };
        records.extend(read);
        position = next;
    }
    records.sort();
    assert_eq!(records, expected);
    println!("the last position: {position}");
}
