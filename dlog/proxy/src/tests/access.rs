//! Who may do what, over each protocol, on real sockets.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request as HttpRequest;
use distributedlog::wire::framed;
use distributedlog::wire::mux::Frame;
use distributedlog::wire::service::{Request, WriteContext};
use distributedlog_store::net::ByteStream;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::kit::{dispatch, framed_call, meaning, of_reply, start_on, write};
use crate::access::Operation;
use crate::{
    AdminPeers, AuditLog, Authorization, ClientAuthorities, HttpTokens, RunningProxy,
    ServerCertificate, Settings, SettingsBuilder,
};
use distributedlog_testkit::store::MemoryStore;

/// Who may do what: principal, streams, operations. The rules of the tests are made from it, and
/// what is expected of them.
const TABLE: [(&str, &str, &[Operation]); 5] = {
    use Operation::{Admin, Create, Read, Write};
    [
        ("alice", "orders-*", &[Read, Write]),
        ("alice", "public-*", &[Create]),
        ("bob", "*", &[Read, Write, Create, Admin]),
        ("loopback", "local-*", &[Read, Write, Create]),
        ("anonymous", "public-*", &[Read]),
    ]
};

const PRINCIPALS: [&str; 4] = ["alice", "bob", "loopback", "anonymous"];
const STREAMS: [&str; 3] = ["orders-1", "local-1", "public-1"];

fn rules() -> String {
    let rule = |(principal, streams, may): (&str, &str, &[Operation])| {
        let may: Vec<String> = may.iter().map(|it| format!("\"{it}\"")).collect();
        let may = may.join(", ");
        format!(
            "[[rule]]\nprincipals = [\"{principal}\"]\nstreams = [\"{streams}\"]\nmay = [{may}]\n"
        )
    };
    TABLE.map(rule).concat()
}

/// What the table says, found without the code that is tested.
fn expected(principal: &str, operation: Operation, stream: &str) -> bool {
    TABLE.iter().any(|(who, streams, may)| {
        let prefix = streams.strip_suffix('*').expect("each is a prefix");
        *who == principal && stream.starts_with(prefix) && may.contains(&operation)
    })
}

/// An authority, and the certificates that it made.
struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = folder.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("ca"), certificate.pem()).expect("a file");
        Self {
            folder,
            root: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        (vec![certificate.der().clone()], key)
    }

    fn server(&self, required: bool) -> ServerCertificate {
        let (chain, key) = self.issue("localhost");
        let certificate = ServerCertificate::from_der(chain, key).expect("they belong together");
        let path = self.folder.path().join("ca");
        let clients = ClientAuthorities::from_pem_file(&path, required).expect("an authority");
        let set = certificate.set_client_authorities(Some(clients));
        set.expect("usable authorities");
        certificate
    }

    /// A client that presents a certificate with this name, if there is one.
    fn connector(&self, name: Option<&str>, alpn: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("a certificate");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let (chain, key) = self.issue(name);
                builder.with_client_auth_cert(chain, key).expect("usable")
            }
        };
        config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

type Stream = Box<dyn ByteStream>;

async fn tcp(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("it listens")
}

async fn tls(address: SocketAddr, connector: &TlsConnector) -> Stream {
    let name = ServerName::try_from("localhost").expect("a name");
    let secured = connector.connect(name, tcp(address).await).await;
    Box::new(secured.expect("a handshake"))
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    Framed,
    Mux,
    Http1,
    Http2,
}

/// A way to a proxy.
struct Route {
    face: Face,
    address: SocketAddr,
    tls: Option<TlsConnector>,
    token: Option<String>,
}

impl Route {
    async fn connect(&self) -> Stream {
        match &self.tls {
            None => Box::new(tcp(self.address).await),
            Some(connector) => tls(self.address, connector).await,
        }
    }

    /// Sends a request. Returns the code of its answer, and the answer.
    async fn ask(&self, operation: Operation, stream: &str) -> (u16, String) {
        let connection = self.connect().await;
        match self.face {
            Face::Framed | Face::Mux => {
                let text = ask_thrift(connection, self.face, operation, stream).await;
                (text[..3].parse().expect(&text), text)
            }
            Face::Http1 | Face::Http2 => {
                let path = format!("/v1/streams/{stream}");
                let (method, path) = match operation {
                    Operation::Read => ("GET", path),
                    Operation::Write => ("POST", path + "/records"),
                    Operation::Create => ("PUT", path),
                    Operation::Admin => ("DELETE", path + "/records?before=1,0,0"),
                };
                let token = self.token.as_deref();
                ask_http(connection, self.face, method, &path, token, "x").await
            }
        }
    }
}

async fn ask_thrift(
    mut connection: Stream,
    face: Face,
    operation: Operation,
    stream: &str,
) -> String {
    let context = WriteContext::default();
    let request = match operation {
        Operation::Read => Request::GetOwner { stream, context },
        Operation::Write => write(stream, b"x"),
        Operation::Create => Request::Create { stream, context },
        Operation::Admin => Request::Truncate {
            stream,
            dlsn: "AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAA==",
            context,
        },
    };
    ask_request(&mut connection, face, &request).await
}

async fn ask_request(connection: &mut Stream, face: Face, request: &Request<'_>) -> String {
    let bytes = match face {
        Face::Framed => framed_call(request),
        Face::Mux | Face::Http1 | Face::Http2 => dispatch(2, &[], request),
    };
    connection.write_all(&bytes).await.expect("the proxy reads");
    let mut frame = vec![0; 4];
    connection.read_exact(&mut frame).await.expect("an answer");
    let length = u32::from_be_bytes(frame[..].try_into().expect("four bytes"));
    frame.resize(4 + length as usize, 0);
    connection
        .read_exact(&mut frame[4..])
        .await
        .expect("a whole answer");
    match face {
        Face::Framed => of_reply(framed::frame_body(&frame).expect("a frame")),
        Face::Mux | Face::Http1 | Face::Http2 => {
            meaning(&Frame::decode(&frame).expect("a frame of mux").message)
        }
    }
}

async fn ask_http(
    connection: Stream,
    face: Face,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &'static str,
) -> (u16, String) {
    let io = TokioIo::new(connection);
    let mut request = HttpRequest::builder()
        .method(method)
        .header("host", "localhost");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let uri = match face {
        Face::Http2 => format!("https://localhost{path}"),
        Face::Framed | Face::Mux | Face::Http1 => path.to_owned(),
    };
    let request = request
        .uri(uri)
        .body(Body::from(body))
        .expect("a valid request");
    let response = if face == Face::Http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .expect("a connection");
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .expect("a connection");
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    let (parts, body) = response.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let retry = parts.headers.get("retry-after");
    let retry = retry.map_or_else(String::new, |it| {
        format!(" after {}", it.to_str().expect("text"))
    });
    let body = String::from_utf8_lossy(&body);
    (parts.status.as_u16(), format!("{body}{retry}"))
}

/// An address of this machine that is not loopback, if it has one.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only looks for the way.
    socket.connect("192.0.2.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

fn everywhere() -> SettingsBuilder {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    Settings::builder()
        .listen(any)
        .http_listen(Some(any))
        .announce(Some("127.0.0.1".to_owned()))
        .admin_from(AdminPeers::Any)
        .shard(1)
}

async fn with_streams() -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for name in STREAMS {
        let name = name.parse().expect("a name");
        let created = distributedlog_store::LogStore::create(&*store, &name);
        created.await.expect("it is new");
    }
    store
}

fn tokens(folder: &Path) -> (HttpTokens, Vec<(&'static str, String)>) {
    let made = ["alice", "bob"].map(|name| (name, HttpTokens::generate(name).expect("a token")));
    let lines: Vec<&str> = made.iter().map(|(_, (_, line))| line.as_str()).collect();
    let path = folder.join("tokens");
    std::fs::write(&path, lines.join("\n")).expect("a file");
    let tokens = HttpTokens::from_file(&path).expect("valid");
    (
        tokens,
        made.into_iter()
            .map(|(name, (token, _))| (name, token))
            .collect(),
    )
}

/// The ways by which a principal reaches the proxies.
fn ways(
    principal: &'static str,
    proxies: &[&RunningProxy; 3],
    pki: &Pki,
    tokens: &[(&str, String)],
) -> Vec<Route> {
    let [plain, secured, by_token] = *proxies;
    let at = |ip: IpAddr, address: SocketAddr| SocketAddr::new(ip, address.port());
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let http = |proxy: &RunningProxy| proxy.http_addr().expect("it has one");
    let route = |face, address, tls| Route {
        face,
        address,
        tls,
        token: None,
    };
    if principal == "loopback" || principal == "anonymous" {
        let Some(ip) = (if principal == "loopback" {
            Some(local)
        } else {
            own_address()
        }) else {
            return Vec::new();
        };
        let unknown = |alpn: &[&[u8]]| Some(pki.connector(None, alpn));
        return vec![
            route(Face::Framed, at(ip, plain.local_addr()), None),
            route(Face::Mux, at(ip, plain.local_addr()), None),
            route(Face::Http1, at(ip, http(plain)), None),
            route(Face::Http2, at(ip, http(plain)), None),
            route(Face::Mux, at(ip, secured.local_addr()), unknown(&[])),
            route(Face::Http2, at(ip, http(secured)), unknown(&[b"h2"])),
        ];
    }
    let token = tokens.iter().find(|(name, _)| *name == principal);
    let token = token.map(|(_, token)| token.clone());
    let by_token = |face| Route {
        token: token.clone(),
        ..route(face, at(local, http(by_token)), None)
    };
    let known = |alpn: &[&[u8]]| Some(pki.connector(Some(principal), alpn));
    vec![
        by_token(Face::Http1),
        by_token(Face::Http2),
        route(Face::Framed, at(local, secured.local_addr()), known(&[])),
        route(Face::Mux, at(local, secured.local_addr()), known(&[])),
        route(Face::Http1, at(local, http(secured)), known(&[b"http/1.1"])),
        route(Face::Http2, at(local, http(secured)), known(&[b"h2"])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_principal_may_do_by_each_protocol_what_the_table_says_and_nothing_else() {
    let pki = Pki::new();
    let (named, made) = tokens(pki.folder.path());
    let rules = || Some(Authorization::parse(&rules()));
    // One store: the streams move from proxy to proxy, and their owners redirect.
    let stores = [
        with_streams().await,
        with_streams().await,
        with_streams().await,
    ];
    let plain = start_on(everywhere().authorization(rules()), &stores[0]).await;
    let certificate = Some(pki.server(false));
    let secured = everywhere().authorization(rules()).tls(certificate);
    let secured = start_on(secured, &stores[1]).await;
    let by_token = everywhere().authorization(rules()).http_tokens(Some(named));
    let by_token = start_on(by_token, &stores[2]).await;
    let mut asked = 0;
    for principal in PRINCIPALS {
        for way in ways(principal, &[&plain, &secured, &by_token], &pki, &made) {
            for operation in Operation::ALL {
                for stream in STREAMS {
                    asked += 1;
                    let new = format!("{stream}-{asked}");
                    let name = if operation == Operation::Create {
                        &new
                    } else {
                        stream
                    };
                    let mut may = expected(principal, operation, stream);
                    if operation == Operation::Read && matches!(way.face, Face::Framed | Face::Mux)
                    {
                        // The owner of a stream is told to its writers too.
                        may |= expected(principal, Operation::Write, stream);
                    }
                    let (code, answer) = way.ask(operation, name).await;
                    let what =
                        format!("{principal} {operation} {name} by {:?}: {answer}", way.face);
                    if may {
                        assert!([200, 201, 204, 302].contains(&code), "{what}");
                    } else {
                        assert_eq!(code, 403, "{what}");
                        assert!(answer.contains("no rule of this proxy allows it"), "{what}");
                    }
                }
            }
        }
    }
    let ways = if own_address().is_some() { 24 } else { 18 };
    assert_eq!(asked, ways * Operation::ALL.len() * STREAMS.len());
}

#[tokio::test]
async fn a_client_of_another_authority_or_without_a_required_certificate_is_not_let_in() {
    let (pki, other) = (Pki::new(), Pki::new());
    let store = with_streams().await;
    let proxy = start_on(everywhere().tls(Some(pki.server(true))), &store).await;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy.local_addr().port());
    let mut roots = RootCertStore::empty();
    roots.add(pki.root.clone()).expect("a certificate");
    let (chain, key) = other.issue("alice");
    let foreign = ClientConfig::builder().with_root_certificates(roots);
    let foreign = foreign.with_client_auth_cert(chain, key).expect("usable");
    for connector in [
        pki.connector(None, &[]),
        TlsConnector::from(Arc::new(foreign)),
    ] {
        let name = ServerName::try_from("localhost").expect("a name");
        // In TLS 1.3 the client learns it after its own handshake.
        let Ok(mut stream) = connector.connect(name, tcp(address).await).await else {
            continue;
        };
        let _ = stream.write_all(&dispatch(2, &[], &write("s", b"x"))).await;
        let mut answer = Vec::new();
        assert!(stream.read_to_end(&mut answer).await.is_err(), "{answer:?}");
    }
    assert_eq!(store.records("s").len(), 0);
}

#[tokio::test]
async fn a_write_creates_a_missing_stream_only_for_a_client_that_may_create_it() {
    let rules = "[[rule]]\nprincipals = [\"loopback\"]\nstreams = [\"*\"]\nmay = [\"write\"]\n\
                 [[rule]]\nprincipals = [\"loopback\"]\nstreams = [\"new-*\"]\n\
                 may = [\"create\"]\n";
    let store = with_streams().await;
    let proxy = start_on(
        everywhere().authorization(Some(Authorization::parse(rules))),
        &store,
    );
    let proxy = proxy.await;
    let local =
        |address: SocketAddr| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    for (face, address) in [
        (Face::Mux, proxy.local_addr()),
        (Face::Http1, proxy.http_addr().expect("it has one")),
    ] {
        let way = Route {
            face,
            address: local(address),
            tls: None,
            token: None,
        };
        let (code, answer) = way.ask(Operation::Write, &format!("absent-{face:?}")).await;
        assert!([404, 510].contains(&code), "{answer}");
        let (code, answer) = way.ask(Operation::Write, &format!("new-{face:?}")).await;
        assert_eq!(code, 200, "{answer}");
    }
}

#[tokio::test]
async fn a_client_beyond_its_limit_is_refused_with_the_time_to_wait_and_others_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (named, made) = tokens(folder.path());
    let rules = "[[rule]]\nprincipals = [\"*\"]\nstreams = [\"*\"]\nmay = [\"read\", \"write\"]\n\
                 [[limit]]\nprincipals = [\"alice\", \"loopback\"]\nrequests_per_second = 1\n\
                 [[limit]]\nprincipals = [\"bob\"]\nbytes_per_second = 1\n";
    let settings = everywhere()
        .authorization(Some(Authorization::parse(rules)))
        .http_tokens(Some(named));
    let proxy = start_on(settings, &with_streams().await).await;
    let local =
        |address: SocketAddr| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    let http = local(proxy.http_addr().expect("it has one"));
    let by_token = |face, index: usize| Route {
        face,
        address: http,
        tls: None,
        token: Some(made[index].1.clone()),
    };
    let (code, _) = by_token(Face::Http1, 0)
        .ask(Operation::Write, "orders-1")
        .await;
    assert_eq!(code, 200);
    let (code, answer) = by_token(Face::Http2, 0)
        .ask(Operation::Write, "orders-1")
        .await;
    assert_eq!(code, 429, "{answer}");
    assert!(
        answer.contains("\"code\":517") && answer.contains("\"known\":\"not_written\""),
        "{answer}"
    );
    assert!(answer.ends_with(" after 1"), "{answer}");
    // Ten seconds of bytes at once: bob waits for nine of them.
    let body = "0123456789";
    let stream = by_token(Face::Http1, 1).connect().await;
    let path = "/v1/streams/orders-1/records";
    let (code, _) = ask_http(stream, Face::Http1, "POST", path, Some(&made[1].1), body).await;
    assert_eq!(code, 200);
    let (code, answer) = by_token(Face::Http1, 1)
        .ask(Operation::Read, "orders-1")
        .await;
    assert_eq!(code, 429, "{answer}");
    let wait: u64 = answer
        .rsplit(' ')
        .next()
        .expect("a word")
        .parse()
        .expect("a number");
    assert!((7..=10).contains(&wait), "{answer}");
    let mut connection: Stream = Box::new(tcp(local(proxy.local_addr())).await);
    let request = write("public-1", b"x");
    let answer = ask_request(&mut connection, Face::Mux, &request).await;
    assert!(answer.starts_with("200"), "{answer}");
    let answer = ask_request(&mut connection, Face::Mux, &request).await;
    assert!(
        answer.starts_with("517 (a client of this machine has used up"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_open_connection_is_held_against_rules_that_were_reloaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules");
    let allow = "[[rule]]\nprincipals = [\"loopback\"]\nstreams = [\"*\"]\nmay = [\"write\"]\n";
    std::fs::write(&path, allow).expect("a file");
    let rules = Authorization::from_file(&path).expect("valid");
    let proxy = everywhere().authorization(Some(rules.clone()));
    let proxy = start_on(proxy, &with_streams().await).await;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), proxy.local_addr().port());
    let mut connection: Stream = Box::new(tcp(address).await);
    let request = write("orders-1", b"x");
    let mut seen = Vec::new();
    for content in [allow, "", "[[rule]\n", allow] {
        std::fs::write(&path, content).expect("a file");
        let read = rules.reload_file(&path).is_ok();
        let answer = ask_request(&mut connection, Face::Mux, &request).await;
        seen.push((read, answer[..3].to_owned()));
    }
    let expected = [(true, "200"), (true, "403"), (false, "403"), (true, "200")];
    let expected = expected.map(|(read, code)| (read, code.to_owned()));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_client_is_told_who_it_is_and_what_it_may_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (named, made) = tokens(folder.path());
    let settings = everywhere()
        .authorization(Some(Authorization::parse(&rules())))
        .http_tokens(Some(named));
    let proxy = start_on(settings, &with_streams().await).await;
    let open = start_on(everywhere().read_only(true), &with_streams().await).await;
    let ask = async |proxy: &RunningProxy, token| {
        let address = proxy.http_addr().expect("it has one");
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
        let stream = Box::new(tcp(address).await);
        ask_http(stream, Face::Http1, "GET", "/v1/access", token, "").await
    };
    let (code, answer) = ask(&proxy, Some(&made[0].1)).await;
    let told: Value = serde_json::from_str(&answer).expect("JSON");
    let may = |read: bool, write: bool, create: bool, admin: bool| {
        serde_json::json!({
            "read": read, "write": write, "create": create, "admin": admin,
        })
    };
    assert_eq!(
        (code, told),
        (
            200,
            serde_json::json!({
                "principal": "alice",
                "how": "token",
                "may": may(true, true, true, false),
                "streams": [
                    {"pattern": "orders-*", "may": may(true, true, false, false)},
                    {"pattern": "public-*", "may": may(false, false, true, false)},
                ],
            })
        )
    );
    assert_eq!(ask(&proxy, None).await.0, 401);
    assert_eq!(ask(&proxy, Some("wrong")).await.0, 401);
    let told: Value = serde_json::from_str(&ask(&open, None).await.1).expect("JSON");
    assert_eq!(
        told,
        serde_json::json!({
            "principal": null,
            "how": "loopback",
            "may": may(true, false, false, false),
            "streams": [{"pattern": "*", "may": may(true, false, false, false)}],
        })
    );
}

#[tokio::test]
async fn the_audit_log_has_what_was_administered_and_what_was_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit");
    let (named, made) = tokens(folder.path());
    let log = AuditLog::to_file(&path).expect("a file");
    let settings = everywhere()
        .authorization(Some(Authorization::parse(&rules())))
        .http_tokens(Some(named))
        .audit_log(Some(log.clone()));
    let proxy = start_on(settings, &with_streams().await).await;
    let local =
        |address: SocketAddr| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    let by_token = |token: &str| Route {
        face: Face::Http1,
        address: local(proxy.http_addr().expect("it has one")),
        tls: None,
        token: Some(token.to_owned()),
    };
    let thrift = Route {
        face: Face::Framed,
        address: local(proxy.local_addr()),
        tls: None,
        token: None,
    };
    by_token(&made[1].1).ask(Operation::Admin, "orders-1").await;
    by_token(&made[0].1).ask(Operation::Admin, "orders-1").await;
    by_token("wrong-wrong-wrong")
        .ask(Operation::Read, "orders-1")
        .await;
    thrift.ask(Operation::Create, "local-2").await;
    thrift.ask(Operation::Write, "local-2").await;
    thrift.ask(Operation::Write, "orders-1").await;
    log.flush();
    let text = std::fs::read_to_string(&path).expect("a file");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let short = |line: &Value| {
        let field = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        [
            "event",
            "principal",
            "how",
            "port",
            "operation",
            "stream",
            "outcome",
        ]
        .map(field)
        .join(" ")
    };
    let seen: Vec<String> = lines.iter().map(short).collect();
    assert_eq!(
        seen,
        [
            "administered bob token http admin orders-1 204",
            "refused alice token http admin orders-1 403",
            "refused - loopback http authenticate - 401",
            "administered - loopback thrift create local-2 200",
            "refused - loopback thrift write orders-1 403",
        ]
    );
    assert!(
        !text.contains(&made[0].1) && !text.contains("wrong-wrong"),
        "{text}"
    );
}
