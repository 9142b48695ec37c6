//! A store, proxies over it, and readers of both.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog::wire::record_set::{RecordSetBuilder, SetIdentity, WriterId};
use distributedlog_proxy::{Proxy, RunningProxy, Settings, SettingsBuilder};
use distributedlog_reader::{
    FaultKind, HttpSource, MultiStreamReader, MultiStreamReaderBuilder, ReadError, Source,
    StreamFault, StreamRecord,
};
use distributedlog_store::{EntryRecord, LogStore, StreamName};
use distributedlog_testkit::store::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Timeout of each step: longer than a step takes on a loaded machine unless it hangs.
pub(crate) const STEP: Duration = Duration::from_secs(60);

/// A source by name, for the messages of assertions. `lines` is a proxy of an earlier version, that
/// sends lines alone.
pub(crate) const SOURCES: [&str; 3] = ["http", "store", "lines"];

/// A store in memory and a proxy over it.
pub(crate) struct Stack {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) proxy: RunningProxy,
    /// Address at which the proxy looks like one of an earlier version.
    earlier: SocketAddr,
}

pub(crate) fn settings() -> SettingsBuilder {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Settings::builder().listen(any).http_listen(Some(any))
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::start_with(settings()).await
    }

    pub(crate) async fn start_with(settings: SettingsBuilder) -> Self {
        let store = MemoryStore::new();
        // Several proxies can share it, and close it.
        store.stay_open();
        let proxy = proxy_over(&store, settings).await;
        let earlier = earlier_version(proxy.http_addr().expect("it was asked for")).await;
        Self {
            store,
            proxy,
            earlier,
        }
    }

    pub(crate) fn source(&self, name: &str) -> Source {
        if name == "http" {
            return self.http().into();
        }
        if name == "lines" {
            return HttpSource::new([format!("http://{}", self.earlier)]).into();
        }
        let store: Arc<dyn LogStore> = self.store.clone();
        store.into()
    }

    pub(crate) fn http(&self) -> HttpSource {
        HttpSource::new([url(&self.proxy)])
    }

    /// Creates the stream.
    pub(crate) async fn create(&self, stream: &str) {
        self.store.create(&name(stream)).await.expect("it is new");
    }

    /// Stores an entry of log segment 1.
    pub(crate) fn put(&self, stream: &str, entry: i64, record: EntryRecord) {
        self.store
            .put(&name(stream), Dlsn::new(1, entry, 0), vec![record]);
    }

    pub(crate) fn reader(&self, source: &str, streams: &[&str]) -> MultiStreamReaderBuilder {
        MultiStreamReader::builder(self.source(source)).streams(streams.iter().copied())
    }
}

/// Passes requests on to the proxy, without the format that earlier versions do not know. Returns
/// its address.
async fn earlier_version(proxy: SocketAddr) -> SocketAddr {
    const UNKNOWN: &[u8] = b"application/vnd.distributedlog.entries,";
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match client.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let found = head.windows(UNKNOWN.len()).position(|it| it == UNKNOWN);
                if let Some(at) = found {
                    head[at..at + UNKNOWN.len()].fill(b' ');
                }
                let Ok(mut server) = TcpStream::connect(proxy).await else {
                    return;
                };
                if server.write_all(&head).await.is_ok() {
                    // Its end is that of either side.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    address
}

pub(crate) async fn proxy_over(
    store: &Arc<MemoryStore>,
    settings: SettingsBuilder,
) -> RunningProxy {
    let settings = settings.build().expect("valid settings");
    Proxy::start(settings, store.clone())
        .await
        .expect("a free port")
}

pub(crate) fn url(proxy: &RunningProxy) -> String {
    format!("http://{}", proxy.http_addr().expect("it was asked for"))
}

pub(crate) fn name(stream: &str) -> StreamName {
    StreamName::new(stream).expect("a name")
}

pub(crate) fn plain(payload: impl Into<Bytes>) -> EntryRecord {
    EntryRecord {
        payload: payload.into(),
        slots: 1,
        is_record_set: false,
    }
}

/// A set of `records` records `label.slot`, with an identity of the writer.
pub(crate) fn set(label: &str, records: u32, writer: u8, sequence: u64) -> EntryRecord {
    let mut buffer = vec![0; 4096];
    let mut builder = RecordSetBuilder::new(buffer.len(), true);
    for slot in 0..records {
        builder
            .append(&mut buffer, format!("{label}.{slot}").as_bytes())
            .expect("it fits");
    }
    let identity = SetIdentity {
        writer: WriterId([writer; 16]),
        sequence,
    };
    EntryRecord {
        payload: Bytes::copy_from_slice(builder.finish(&mut buffer, Some(&identity))),
        slots: records,
        is_record_set: true,
    }
}

pub(crate) fn text(record: &StreamRecord) -> String {
    String::from_utf8_lossy(&record.record.payload).into_owned()
}

/// Returns the next record; waits for it for as long as a step may take.
pub(crate) async fn next(
    reader: &mut MultiStreamReader,
) -> Option<Result<StreamRecord, ReadError>> {
    tokio::time::timeout(STEP, reader.next())
        .await
        .unwrap_or_else(|_| panic!("nothing came: {:?}", reader.stats()))
}

/// Returns the texts of the next `count` records.
pub(crate) async fn take(reader: &mut MultiStreamReader, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let record = next(reader).await.expect("no end").expect("no error");
        texts.push(text(&record));
    }
    texts
}

/// Returns the texts of all records up to the end, and the error if it is one.
pub(crate) async fn rest(reader: &mut MultiStreamReader) -> (Vec<String>, Option<ReadError>) {
    let mut texts = Vec::new();
    let end = loop {
        match next(reader).await {
            Some(Ok(record)) => texts.push(text(&record)),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert_eq!(next(reader).await, None, "nothing comes after the end");
    (texts, end)
}

/// Faults that a reader reported.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Vec<StreamFault>>>);

impl Faults {
    pub(crate) fn callback(&self) -> impl FnMut(&StreamFault) + Send + use<> {
        let faults = self.0.clone();
        move |fault| faults.lock().expect("no panic").push(fault.clone())
    }

    pub(crate) fn kinds(&self) -> Vec<FaultKind> {
        let faults = self.0.lock().expect("no panic");
        faults.iter().map(|fault| fault.kind).collect()
    }

    pub(crate) fn text(&self) -> String {
        let faults = self.0.lock().expect("no panic");
        faults.iter().map(|fault| format!("{fault}\n")).collect()
    }
}

/// Polls the reader until `done`; it delivers nothing meanwhile.
pub(crate) async fn until(
    reader: &mut MultiStreamReader,
    done: impl Fn(&MultiStreamReader) -> bool,
) {
    let waiting = async {
        while !done(reader) {
            // A poll that delivers nothing, and then the next change.
            let short = tokio::time::timeout(Duration::from_millis(10), reader.next()).await;
            assert!(short.is_err(), "{short:?}");
        }
    };
    tokio::time::timeout(STEP, waiting).await.expect("it comes");
}

/// Makes a plain request, and returns the body of the response.
pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    socket
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut response = String::new();
    socket
        .read_to_string(&mut response)
        .await
        .expect("it answers");
    response
}
