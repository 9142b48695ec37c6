//! The secret and TLS between a store and its clients.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use distributedlog::wire::mux::{Frame, InitHeader, InitHeaders, Message, Tag};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use super::kit::*;
use distributedlog_store::frames::FrameStream;
use distributedlog_store::remote::internals::{
    HELLO, Hello, REFUSED, WELCOME, encode_versioned, push,
};
use distributedlog_store::remote::{ClientSettings, RemoteStore, ServerSettings, StoreSecret};
use distributedlog_store::tls::{ClientAuthorities, ClientTls, ServerCertificate};
use distributedlog_store::uri::Uri;
use distributedlog_store::{LogStore, StoreError};

fn secret(text: &str) -> Option<StoreSecret> {
    Some(StoreSecret::new(text).expect("it is long enough"))
}

const SECRET: &str = "Zmlyc3Qgc2VjcmV0IG9mIHRoZSB0ZXN0cw";

fn with_secret(secret: Option<StoreSecret>) -> ServerSettings {
    ServerSettings {
        secret,
        ..ServerSettings::default()
    }
}

/// What a client with these settings sees of the store at `uri`.
async fn outcome(uri: &Uri, settings: ClientSettings) -> String {
    match RemoteStore::connect(uri, settings).await {
        Ok(store) => {
            store.create(&name("s")).await.expect("the store takes it");
            store.delete(&name("s")).await.expect("it is there");
            store.close().await.expect("it is open");
            "served".to_owned()
        }
        Err(StoreError::Refused { detail, .. }) => format!("refused: {detail}"),
        Err(StoreError::Unreachable { detail, .. }) => format!("unreachable: {detail}"),
        Err(error) => panic!("{error:?}"),
    }
}

fn client_with(secret: Option<StoreSecret>) -> ClientSettings {
    ClientSettings {
        secret,
        ..client_settings()
    }
}

#[tokio::test]
async fn a_store_with_a_secret_serves_clients_that_know_it_and_says_what_the_others_lack() {
    let running = running(with_secret(secret(SECRET))).await;
    for (given, begins) in [
        (secret(SECRET), "served"),
        (
            None,
            "refused: it requires a secret: give this client the file of the store's \
             --secret-file with --store-secret-file",
        ),
        (
            secret("another secret of the tests"),
            "refused: it knows another secret: the file of this client's --store-secret-file",
        ),
    ] {
        let seen = outcome(&running.uri, client_with(given)).await;
        assert!(seen.starts_with(begins), "{seen}");
    }
    assert_eq!(running.store.list().await.expect("it is open"), []);
}

#[tokio::test]
async fn a_client_with_a_secret_refuses_a_store_that_does_not_prove_it() {
    let running = running(ServerSettings::default()).await;
    let seen = outcome(&running.uri, client_with(secret(SECRET))).await;
    assert!(
        seen.starts_with("refused: it does not prove that it knows the secret"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_secret_that_was_reloaded_is_that_of_the_next_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).expect("a file");
    let shared = StoreSecret::from_file(&file).expect("a secret");
    let running = running(with_secret(Some(shared.clone()))).await;
    let before = RemoteStore::connect(&running.uri, client_with(secret(SECRET)))
        .await
        .expect("it is served");
    std::fs::write(&file, "short").expect("a file");
    let error = shared.reload_file(&file).expect_err("it is too short");
    assert!(
        error.to_string().ends_with("a secret has 16 to 4096 bytes"),
        "{error}"
    );
    let kept = outcome(&running.uri, client_with(secret(SECRET))).await;
    assert_eq!(kept, "served");
    std::fs::write(&file, "another secret of the tests").expect("a file");
    shared.reload_file(&file).expect("a secret");
    let other = client_with(secret("another secret of the tests"));
    assert_eq!(outcome(&running.uri, other).await, "served");
    let former = outcome(&running.uri, client_with(secret(SECRET))).await;
    assert!(former.starts_with("refused: it knows another"), "{former}");
    before.create(&name("open")).await.expect("it goes on");
}

/// A relay that keeps what clients say.
async fn recording(to: Uri) -> (Uri, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let uri = Uri::local("127.0.0.1", listener.local_addr().expect("bound").port());
    let said = Arc::<Mutex<Vec<u8>>>::default();
    let keep = Arc::clone(&said);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("accepts");
        let host = &to.hosts()[0];
        let server = TcpStream::connect((host.host.as_str(), host.port))
            .await
            .expect("it listens");
        let ((mut from, mut back), (mut answers, mut on)) =
            (client.into_split(), server.into_split());
        tokio::spawn(async move { copy(&mut answers, &mut back).await });
        let mut space = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut space).await {
            keep.lock().expect("no panic").extend(&space[..count]);
            on.write_all(&space[..count]).await.expect("it reads");
        }
    });
    (uri, said)
}

#[tokio::test]
async fn a_handshake_that_was_recorded_is_refused() {
    let running = running(with_secret(secret(SECRET))).await;
    let (relay, said) = recording(running.uri.clone()).await;
    let client = RemoteStore::connect(&relay, client_with(secret(SECRET))).await;
    drop(client.expect("it is served"));
    let said = said.lock().expect("no panic").clone();
    assert!(
        !said
            .windows(8)
            .any(|bytes| SECRET.as_bytes().starts_with(bytes)),
        "the secret is sent"
    );
    let mut replaying = TcpStream::connect(running.server.local_addr())
        .await
        .expect("it listens");
    replaying.write_all(&said).await.expect("it reads");
    let mut frames = FrameStream::new(replaying, 1 << 16, None);
    frames.next().await.expect("a frame").expect("a challenge");
    let answer = frames.next().await.expect("a frame").expect("a refusal");
    let Message::Rinit { headers, .. } = Frame::decode(&answer).expect("a frame").message else {
        panic!("{answer:?}");
    };
    let refused = headers.iter().find(|header| header.key == REFUSED);
    let why = String::from_utf8_lossy(refused.expect("a refusal").value).into_owned();
    assert!(why.starts_with("the proof of the secret is wrong"), "{why}");
    assert!(headers.iter().all(|header| header.key != WELCOME));
}

#[tokio::test]
async fn a_proof_that_the_server_did_not_ask_for_or_a_short_number_is_worth_nothing() {
    let running = running(with_secret(secret(SECRET))).await;
    let mut hello = Vec::new();
    encode_versioned(
        &Hello {
            namespace: "/messaging/distributedlog",
            description: "a test",
            max_frame_bytes: 1 << 20,
            resume: None,
        },
        &mut hello,
    );
    for key in [&b"dlog-store-proof"[..], b"dlog-store-nonce"] {
        let headers = [
            InitHeader {
                key: HELLO,
                value: &hello,
            },
            InitHeader {
                key,
                value: &[0; 31],
            },
        ];
        let mut frame = Vec::new();
        let message = Message::Tinit {
            version: 1,
            headers: InitHeaders::new(&headers),
        };
        push(&mut frame, Tag::ONE, message);
        let mut socket = TcpStream::connect(running.server.local_addr())
            .await
            .expect("it listens");
        socket.write_all(&frame).await.expect("it reads");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("it closes");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("it requires a secret"), "{text}");
    }
}

/// An authority, and what it has certified, as PEM files.
struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        // Of its own, as each authority's name is.
        let name = folder.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("ca"), certificate.pem()).expect("a file");
        let issuer = Issuer::new(params, key);
        Self { folder, issuer }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let path = |kind| self.folder.path().join(format!("{name}.{kind}"));
        let files = (path("pem"), path("key"));
        std::fs::write(&files.0, certificate.pem()).expect("a file");
        std::fs::write(&files.1, key.serialize_pem()).expect("a file");
        files
    }

    fn server(&self, clients: Option<&Path>) -> ServerSettings {
        let (chain, key) = self.issue("127.0.0.1");
        let certificate = ServerCertificate::from_pem_files(&chain, &key).expect("a certificate");
        let clients = clients.map(|path| ClientAuthorities::from_pem_file(path, true));
        let clients = clients.transpose().expect("an authority");
        certificate.set_client_authorities(clients).expect("usable");
        ServerSettings {
            tls: Some(certificate),
            ..ServerSettings::default()
        }
    }

    fn client(&self, own: Option<(&Path, &Path)>) -> ClientSettings {
        let tls = ClientTls::from_pem_files(&self.authority(), own).expect("usable files");
        ClientSettings {
            tls: Some(tls),
            ..client_settings()
        }
    }
}

#[tokio::test]
async fn over_tls_a_client_trusts_its_authority_only_and_proves_the_secret_inside() {
    let (pki, other) = (Pki::new(), Pki::new());
    let settings = ServerSettings {
        secret: secret(SECRET),
        ..pki.server(None)
    };
    let running = running(settings).await;
    let known = ClientSettings {
        secret: secret(SECRET),
        ..pki.client(None)
    };
    assert_eq!(outcome(&running.uri, known).await, "served");
    let seen = outcome(&running.uri, pki.client(None)).await;
    assert!(seen.starts_with("refused: it requires a secret"), "{seen}");
    let seen = outcome(&running.uri, other.client(None)).await;
    assert!(
        seen.starts_with("refused: the TLS handshake failed") && seen.contains("UnknownIssuer"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_side_without_tls_is_told_by_the_other() {
    let pki = Pki::new();
    let secured = running(pki.server(None)).await;
    let seen = outcome(&secured.uri, client_settings()).await;
    assert_eq!(
        seen,
        "refused: it requires TLS: name its authority with --store-ca FILE"
    );
    let plain = running(ServerSettings::default()).await;
    let seen = outcome(&plain.uri, pki.client(None)).await;
    assert!(
        seen.contains("speaks no TLS") && seen.contains("leave out --store-ca"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_store_that_requires_certificates_of_its_clients_serves_those_of_its_authority() {
    let (pki, other) = (Pki::new(), Pki::new());
    let running = running(pki.server(Some(&pki.authority()))).await;
    let (chain, key) = pki.issue("proxy-1");
    let certified = pki.client(Some((&chain, &key)));
    assert_eq!(outcome(&running.uri, certified).await, "served");
    let seen = outcome(&running.uri, pki.client(None)).await;
    assert_eq!(
        seen,
        "refused: it requires a certificate of its clients: --store-certificate FILE and \
         --store-key FILE"
    );
    let (chain, key) = other.issue("proxy-1");
    let seen = outcome(&running.uri, pki.client(Some((&chain, &key)))).await;
    assert!(
        seen.contains("UnknownCA") && seen.contains("--tls-client-ca"),
        "{seen}"
    );
}
