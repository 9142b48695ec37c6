//! Certificates, authorities, tokens and rules are exchanged while clients write by thrift and by
//! HTTP, all over TLS: no request fails.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use distributedlog_tokio::{ClientCertificate, ProxyClient, Tls};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::TcpStream;

/// Number of times that each file is exchanged.
const ROUNDS: usize = 5;
/// Time in which a proxy says that it has read a file again: it looks once a second.
const LIMIT: Duration = Duration::from_secs(60);

/// An authority, and what it certifies, as PEM.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// TLS of a client with a certificate.
    fn client(&self, name: &str) -> Tls {
        let (chain, key) = self.issue(name);
        let certificate = ClientCertificate::from_pem(chain.as_bytes(), key.as_bytes());
        Tls::only_roots()
            .add_root(self.pem.as_bytes())
            .expect("an authority")
            .server_name("localhost")
            .client_certificate(certificate.expect("a certificate"))
    }
}

/// The files of the proxy.
struct Files(PathBuf);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces a file by renaming another one over it.
    fn replace(&self, name: &str, content: &str) {
        let new = self.path("new");
        std::fs::write(&new, content).expect("the folder can be written");
        std::fs::rename(&new, self.path(name)).expect("it was just written");
    }
}

/// A running proxy, its ports, and what it logs.
struct Proxy {
    process: Child,
    thrift: SocketAddr,
    http: SocketAddr,
    log: Receiver<String>,
}

impl Proxy {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dlog"));
        command
            .args([
                "proxy",
                "-p",
                "0",
                "--http-port",
                "0",
                "--tls-client-auth",
                "required",
            ])
            .args(["--admin-from", "any"])
            .arg("--data")
            .arg(folder.join("store"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (flag, file) in [
            ("--tls-certificates", "chain"),
            ("--tls-key", "key"),
            ("--tls-client-ca", "clients"),
            ("--http-tokens", "tokens"),
            ("--authorization", "rules"),
            ("--audit-log", "audit"),
        ] {
            command.arg(flag).arg(folder.join(file));
        }
        let mut process = command.spawn().expect("the command was built");
        let (sender, log) = channel();
        let logged = BufReader::new(process.stderr.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in logged.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut lines = output.lines().map(|line| line.expect("text"));
        let mut address = |begins: &str| -> SocketAddr {
            let line = lines
                .find(|line| line.starts_with(begins))
                .expect("it announces it");
            line[begins.len()..].parse().expect("an address")
        };
        let thrift = address("listening on ");
        let http = address("HTTP on https://");
        Self {
            process,
            thrift,
            http,
            log,
        }
    }

    /// Waits for a line of the log with each of these texts, in any order.
    fn says(&self, texts: &[&str]) {
        let mut missing: Vec<&str> = texts.to_vec();
        while !missing.is_empty() {
            let line = self.log.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("no line with {missing:?}"));
            missing.retain(|text| !line.contains(text));
        }
    }

    fn hang_up(&self) {
        let id = i32::try_from(self.process.id()).expect("an id");
        let id = rustix::process::Pid::from_raw(id).expect("it is not zero");
        rustix::process::kill_process(id, rustix::process::Signal::HUP).expect("it runs");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a request on a connection of its own. Returns the status and the body.
async fn ask(at: SocketAddr, tls: &Tls, token: &str, method: &str, path: &str) -> (u16, String) {
    let connector = tls.prepare().expect("usable settings");
    let socket = TcpStream::connect(at).await.expect("it listens");
    let stream = connector
        .secure("localhost", socket)
        .await
        .expect("a handshake");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::<bytes::Bytes>::from("x"))
        .expect("a valid request");
    let response = sender.send_request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    connection.abort();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Writes until it is stopped, and counts what was acknowledged. Any failure panics.
async fn write_by_thrift(at: SocketAddr, tls: Tls, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        // A client for a hundred writes: connections begin all the time.
        let client = ProxyClient::builder()
            .proxies(format!("inet!{at}"))
            .tls(tls.clone());
        let client = client.build().await.expect("it is let in");
        for _ in 0..100 {
            client.write("orders-1", b"x").await.expect("it is stored");
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn write_by_http(
    at: SocketAddr,
    (tls, token): (Tls, String),
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) {
    while !stop.load(Ordering::Relaxed) {
        let path = "/v1/streams/orders-2/records";
        let (status, body) = ask(at, &tls, &token, "POST", path).await;
        assert_eq!(status, 200, "{body}");
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn token(name: &str, file: &Path) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_dlog"))
        .args(["token", "new", name, "--file"])
        .arg(file)
        .output()
        .expect("the command was built");
    assert!(made.status.success());
    String::from_utf8(made.stdout)
        .expect("text")
        .trim()
        .to_owned()
}

const RULES: &str = "[[rule]]\nprincipals = [\"orders\", \"alice\"]\nstreams = [\"*\"]\n\
                     may = [\"read\", \"write\", \"create\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_exchanged_under_load_without_a_failed_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files(folder.path().to_owned());
    let authority = Authority::new("first");
    let exchange_certificate = || {
        let (chain, key) = authority.issue("localhost");
        files.replace("chain", &chain);
        // Between the two the files do not belong together.
        files.replace("key", &key);
    };
    exchange_certificate();
    files.replace("clients", &authority.pem);
    files.replace("rules", RULES);
    let kept = token("alice", &files.path("tokens"));
    let proxy = Proxy::start(folder.path());
    let stop = Arc::new(AtomicBool::new(false));
    let (by_thrift, by_http) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let tls = authority.client("orders");
    let mut writers = tokio::task::JoinSet::new();
    writers.spawn(write_by_thrift(
        proxy.thrift,
        tls.clone(),
        stop.clone(),
        by_thrift.clone(),
    ));
    let (who, counts) = ((tls.clone(), kept.clone()), by_http.clone());
    writers.spawn(write_by_http(proxy.http, who, stop.clone(), counts));
    tokio::task::block_in_place(|| {
        for round in 0..ROUNDS {
            let before = (
                by_thrift.load(Ordering::Relaxed),
                by_http.load(Ordering::Relaxed),
            );
            exchange_certificate();
            let other = Authority::new(&format!("other {round}"));
            files.replace("clients", &format!("{}{}", other.pem, authority.pem));
            files.replace("rules", &format!("# round {round}\n{RULES}"));
            let bad_rules = round % 2 == 1;
            if bad_rules {
                files.replace("rules", "[[rule]\n");
            }
            token("bob", &files.path("tokens"));
            if round == ROUNDS - 1 {
                proxy.hang_up();
            }
            proxy.says(&[
                "read the certificate in",
                "read the client authority in",
                "read the tokens in",
                if bad_rules {
                    "keeps the former rules"
                } else {
                    "read the rules in"
                },
            ]);
            // Under load also means that all of them go on.
            let began = std::time::Instant::now();
            while by_thrift.load(Ordering::Relaxed) < before.0 + 100
                || by_http.load(Ordering::Relaxed) < before.1 + 5
            {
                assert!(began.elapsed() < LIMIT, "the writers stand still");
                assert!(!writers.is_empty());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    let (status, metrics) = ask(proxy.http, &tls, &kept, "GET", "/metrics").await;
    assert_eq!(status, 200);
    let count = |file: &str, outcome: &str| -> usize {
        let name = format!("dlog_proxy_reloads_total{{file=\"{file}\",outcome=\"{outcome}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse().expect("a number"))
    };
    assert!(count("certificate", "used") >= ROUNDS);
    assert!(count("tokens", "used") >= ROUNDS && count("client authority", "used") >= ROUNDS);
    assert_eq!(count("rules", "refused"), ROUNDS / 2);
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = writers.join_next().await {
        ended.expect("no request failed");
    }
    // What was revoked is refused from then on.
    files.replace("tokens", "");
    tokio::task::block_in_place(|| proxy.says(&["read the tokens in"]));
    assert_eq!(
        ask(proxy.http, &tls, &kept, "GET", "/v1/streams").await.0,
        401
    );
    let written = (
        by_thrift.load(Ordering::Relaxed),
        by_http.load(Ordering::Relaxed),
    );
    let mut note = std::io::stderr();
    writeln!(
        note,
        "{} writes by thrift, {} by HTTP",
        written.0, written.1
    )
    .expect("shown");
}
