//! Appends over HTTP beside thriftmux: each way in turns against one `dlog proxy --data` of another
//! process, one record of 100 bytes in each request but where batches are named. Each client has
//! its next request when it has the answer to the last one.
//!
//! `cargo bench -p distributedlog-tests --bench http [SECONDS [ROUNDS]]`; 4 seconds for each figure
//! and 3 rounds unless given. The folder of the store is made below the current folder, or below
//! `DLOG_BENCH_FOLDER`. Ratios are of the medians to the first row with as many requests at once.
//! Below the table: p99 with 1,000 connections in multiples of that with 64, one write in flight on
//! each, by thriftmux and by HTTP/1.1.

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use distributedlog_tests::bench_folder::bench_folder;
use distributedlog_tests::limits::raise_open_files;
use distributedlog_tests::load::{RawClient, WriteReply};
use distributedlog_tests::processor;
use distributedlog_tests::stack::{Proxy, STREAMS, StoreOf};
use distributedlog_tests::stats;
use distributedlog_tokio::ProxyClient;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

const RECORD: [u8; 100] = [b'r'; 100];
/// Records in a request of several.
const BATCH: usize = 100;
/// Connections whose latencies are compared with those of [`FEW`].
const MANY: usize = 1_000;
const FEW: usize = 64;

/// A row of the table.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    transport: Transport,
    /// Requests at once.
    at_once: usize,
    /// Records in each request.
    records: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Transport {
    /// Thriftmux, all requests over one connection.
    OneMux,
    /// Thriftmux, a connection for each.
    Mux,
    /// HTTP/2, all requests over one connection.
    OneHttp2,
    /// HTTP/1.1, a connection for each.
    Http1,
}

const WAYS: [Way; 7] = [
    way("thriftmux, one connection", Transport::OneMux, FEW, 1),
    way("thriftmux, 64 connections", Transport::Mux, FEW, 1),
    way("HTTP/2 (h2c), one connection", Transport::OneHttp2, FEW, 1),
    way("HTTP/1.1, 64 connections", Transport::Http1, FEW, 1),
    way(
        "HTTP/1.1, 64 connections, 100 records each",
        Transport::Http1,
        FEW,
        BATCH,
    ),
    way("thriftmux, 1,000 connections", Transport::Mux, MANY, 1),
    way("HTTP/1.1, 1,000 connections", Transport::Http1, MANY, 1),
];

const fn way(name: &'static str, transport: Transport, at_once: usize, records: usize) -> Way {
    Way {
        name,
        transport,
        at_once,
        records,
    }
}

/// What a round of one way gave.
struct Round {
    records_per_second: f64,
    p50_micros: u32,
    p99_micros: u32,
    /// Processor time of the proxy for each record.
    proxy_micros: f64,
}

fn main() {
    // cargo adds `--bench`.
    let numbers: Vec<u64> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let seconds = Duration::from_secs(numbers.first().copied().unwrap_or(4));
    let rounds = numbers.get(1).copied().unwrap_or(3);
    raise_open_files(4 * MANY as u64);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .expect("the system has epoll")
        .block_on(compare(seconds, rounds));
}

async fn compare(seconds: Duration, rounds: u64) {
    let folder = bench_folder("http");
    let mut proxy = Proxy::start(StoreOf::In(folder.path()), 0, &["--http-port", "0"]).await;
    let http = stats::address(&mut proxy.process).await;
    let mut all: Vec<Vec<Round>> = WAYS.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (way, results) in WAYS.iter().zip(&mut all) {
            eprintln!("round {round} of {rounds}: {}", way.name);
            results.push(measure(*way, &proxy, http, seconds).await);
        }
    }
    print(&all);
}

async fn measure(way: Way, proxy: &Proxy, http: SocketAddr, seconds: Duration) -> Round {
    let each = 0..way.at_once;
    match way.transport {
        Transport::OneMux => {
            let builder = ProxyClient::builder().proxies(proxy.name());
            let client = builder.build().await.expect("the proxy answers");
            let clients = each.map(|_| OneMux(client.clone())).collect();
            load(way, clients, proxy, seconds).await
        }
        Transport::Mux => {
            let mut clients = Vec::with_capacity(way.at_once);
            for _ in each {
                let client = RawClient::connect(proxy.address).await;
                clients.push(Mux(client.expect("the proxy listens")));
            }
            load(way, clients, proxy, seconds).await
        }
        Transport::OneHttp2 => {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), connect(http).await)
                .await
                .expect("the proxy speaks HTTP/2");
            tokio::spawn(connection);
            let clients = each.map(|_| Http2(sender.clone(), http)).collect();
            load(way, clients, proxy, seconds).await
        }
        Transport::Http1 => {
            let mut clients = Vec::with_capacity(way.at_once);
            for _ in each {
                let (sender, connection) = http1::handshake(connect(http).await)
                    .await
                    .expect("the proxy speaks HTTP");
                tokio::spawn(connection);
                clients.push(Http1(sender, http, way.records));
            }
            load(way, clients, proxy, seconds).await
        }
    }
}

async fn connect(address: SocketAddr) -> TokioIo<TcpStream> {
    let stream = TcpStream::connect(address)
        .await
        .expect("the proxy listens");
    stream.set_nodelay(true).expect("a TCP socket");
    TokioIo::new(stream)
}

/// One request at a time.
trait Client: Send + 'static {
    /// Appends to a stream. It panics if the records are not stored.
    fn append(&mut self, stream: &'static str) -> impl Future<Output = ()> + Send;
}

/// Lets each client append until the time is over.
async fn load<C: Client>(way: Way, clients: Vec<C>, proxy: &Proxy, seconds: Duration) -> Round {
    let id = proxy.process.id().expect("it runs");
    let (before, began) = (processor::seconds(id), Instant::now());
    let tasks = clients.into_iter().enumerate().map(|(number, mut client)| {
        tokio::spawn(async move {
            let mut micros = Vec::new();
            // Each client writes to the streams in turn, as a writer does.
            for stream in STREAMS.iter().cycle().skip(number % STREAMS.len()) {
                let asked = Instant::now();
                if asked - began >= seconds {
                    break;
                }
                client.append(stream).await;
                micros.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            micros
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut micros = Vec::new();
    for task in tasks {
        micros.append(&mut task.await.expect("every record is stored"));
    }
    let (elapsed, used) = (began.elapsed(), processor::seconds(id) - before);
    micros.sort_unstable();
    let records = (micros.len() * way.records) as f64;
    Round {
        records_per_second: records / elapsed.as_secs_f64(),
        p50_micros: micros[micros.len() / 2],
        p99_micros: micros[micros.len() * 99 / 100],
        proxy_micros: used * 1e6 / records,
    }
}

struct OneMux(ProxyClient);

impl Client for OneMux {
    async fn append(&mut self, stream: &'static str) {
        self.0.write(stream, &RECORD).await.expect("stored");
    }
}

struct Mux(RawClient);

impl Client for Mux {
    async fn append(&mut self, stream: &'static str) {
        let reply = self
            .0
            .write(stream, &RECORD)
            .await
            .expect("the proxy stays");
        assert!(matches!(reply, WriteReply::Stored(_)), "{reply:?}");
    }
}

struct Http2(http2::SendRequest<Full<Bytes>>, SocketAddr);

impl Client for Http2 {
    async fn append(&mut self, stream: &'static str) {
        let response = self.0.send_request(request(self.1, stream, 1)).await;
        answered(response.expect("the proxy stays")).await;
    }
}

struct Http1(http1::SendRequest<Full<Bytes>>, SocketAddr, usize);

impl Client for Http1 {
    async fn append(&mut self, stream: &'static str) {
        self.0.ready().await.expect("the proxy stays");
        let response = self.0.send_request(request(self.1, stream, self.2)).await;
        answered(response.expect("the proxy stays")).await;
    }
}

/// Returns the request that appends this many records.
fn request(http: SocketAddr, stream: &str, records: usize) -> Request<Full<Bytes>> {
    let (content, body) = if records == 1 {
        ("application/octet-stream", Bytes::from_static(&RECORD))
    } else {
        let length = (RECORD.len() as u32).to_be_bytes();
        let one = [&length[..], &RECORD].concat();
        (
            "application/vnd.distributedlog.records",
            one.repeat(records).into(),
        )
    };
    Request::post(format!("http://{http}/v1/streams/{stream}/records"))
        .header("host", http.to_string())
        .header("content-type", content)
        .body(Full::new(body))
        .expect("plain names")
}

/// Receives the whole answer, as a client must that keeps its connection.
async fn answered(response: hyper::Response<hyper::body::Incoming>) {
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("the proxy stays")
        .to_bytes();
    assert!(
        status.is_success(),
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
}

fn print(all: &[Vec<Round>]) {
    println!("| | records/s | ratio | p50, ms | p99, ms | proxy, µs a record |");
    println!("|---|--:|--:|--:|--:|--:|");
    let mut first: Option<(usize, f64)> = None;
    for (way, rounds) in WAYS.iter().zip(all) {
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        let rate = of(|round| round.records_per_second);
        let base = match first {
            Some((at_once, base)) if at_once == way.at_once => base,
            Some(_) | None => first.insert((way.at_once, rate)).1,
        };
        println!(
            "| {} | {rate:.0} | {:.2} | {:.2} | {:.2} | {:.1} |",
            way.name,
            rate / base,
            of(|round| round.p50_micros.into()) / 1e3,
            of(|round| round.p99_micros.into()) / 1e3,
            of(|round| round.proxy_micros),
        );
    }
    for transport in [Transport::Mux, Transport::Http1] {
        let p99 = |at_once: usize| {
            let is_meant = |way: &Way| (way.at_once, way.records) == (at_once, 1);
            let mut ways = WAYS.iter().zip(all);
            let (way, rounds) = ways
                .find(|(way, _)| way.transport == transport && is_meant(way))
                .expect("both numbers are measured");
            let micros = rounds.iter().map(|round| round.p99_micros.into());
            (way.name, median(micros.collect()))
        };
        let ((few, low), (many, high)) = (p99(FEW), p99(MANY));
        println!("p99 of {many}: {:.2} times that of {few}", high / low);
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
