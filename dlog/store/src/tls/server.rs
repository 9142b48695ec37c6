use core::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::{TlsError, read_pem_files, read_roots, unusable};
use crate::net::ByteStream;
use crate::peer_protocol::PeerProtocol;
use crate::recorded::RecordedStream;

/// Limit of the reads of what a client without TLS still sends after the response to it.
const MAX_LINGER_READS: usize = 64;

/// A connection after its TLS handshake.
pub type AcceptedStream<S> = TlsStream<RecordedStream<S>>;

/// A server's TLS certificate: a certificate chain and its private key, and the authorities whose
/// clients it accepts. Clones share them, also when they are
/// [replaced](Self::reload_pem_files).
#[derive(Clone)]
pub struct ServerCertificate(Arc<RwLock<Current>>);

/// What new connections get.
struct Current {
    certified: Arc<CertifiedKey>,
    clients: Option<ClientAuthorities>,
    acceptors: Acceptors,
}

/// Acceptors made of one certificate and one set of authorities. Each has a cache of sessions of
/// its own, so that a client whose authority was removed cannot resume.
#[derive(Clone)]
struct Acceptors {
    /// For mux and framed thrift, and for the store's protocol.
    plain: TlsAcceptor,
    /// Negotiates the version of HTTP (ALPN).
    http: TlsAcceptor,
}

/// The authorities whose certificates clients present.
#[derive(Clone, Debug)]
pub struct ClientAuthorities {
    roots: Arc<RootCertStore>,
    required: bool,
}

impl ClientAuthorities {
    /// Reads the authorities from a PEM file. A client without a certificate is refused if
    /// `required` is true; one with a certificate of another authority always is.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or contains no certificate of an authority.
    pub fn from_pem_file(path: &Path, required: bool) -> Result<Self, TlsError> {
        let roots = Arc::new(read_roots(path)?);
        Ok(Self { roots, required })
    }
}

/// The certificate of every connection.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl Acceptors {
    fn new(
        certified: &Arc<CertifiedKey>,
        clients: Option<&ClientAuthorities>,
    ) -> Result<Self, Error> {
        let builder = ServerConfig::builder();
        let resolver = Arc::new(OneCertificate(Arc::clone(certified)));
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let provider = Arc::clone(builder.crypto_provider());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(clients.roots.clone(), provider);
                let verifier = if clients.required {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                let verifier = verifier.build();
                let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_cert_resolver(resolver);
        let mut http = config.clone();
        http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            plain: TlsAcceptor::from(Arc::new(config)),
            http: TlsAcceptor::from(Arc::new(http)),
        })
    }
}

impl ServerCertificate {
    /// Reads a chain of certificates, the server's own first, and a private key (PKCS #8, PKCS #1
    /// or SEC 1) from PEM files.
    ///
    /// # Errors
    ///
    /// A file cannot be read or contains no certificate or key, or the key does not belong to the
    /// first certificate. The error names the file.
    pub fn from_pem_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let (chain, private_key) = read_pem_files(certificates, key)?;
        Self::from_der(chain, private_key).map_err(|error| unusable(key, &error))
    }

    /// Takes the chain, the server's own certificate first, and the key from memory.
    ///
    /// # Errors
    ///
    /// The key is of an unknown kind or does not belong to the first certificate.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Error> {
        let certified = Arc::new(certify(chain, key)?);
        let acceptors = Acceptors::new(&certified, None)?;
        Ok(Self(Arc::new(RwLock::new(Current {
            certified,
            clients: None,
            acceptors,
        }))))
    }

    /// Asks new connections for certificates of these authorities, also those of a running server
    /// that has a clone of this value. `None`: asks for none.
    ///
    /// # Errors
    ///
    /// The authorities cannot be used. Nothing has changed then.
    pub fn set_client_authorities(&self, clients: Option<ClientAuthorities>) -> Result<(), Error> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        current.acceptors = Acceptors::new(&current.certified, clients.as_ref())?;
        current.clients = clients;
        Ok(())
    }

    /// Reads another chain and its key from PEM files, and presents them to new connections, also
    /// those of a running server that has a clone of this value. Open connections go on.
    ///
    /// # Errors
    ///
    /// As [`from_pem_files`](Self::from_pem_files). Nothing has changed then.
    pub fn reload_pem_files(&self, certificates: &Path, key: &Path) -> Result<(), TlsError> {
        let (chain, private_key) = read_pem_files(certificates, key)?;
        let refused = |error: Error| unusable(key, &error);
        let certified = Arc::new(certify(chain, private_key).map_err(refused)?);
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        current.acceptors =
            Acceptors::new(&certified, current.clients.as_ref()).map_err(refused)?;
        current.certified = certified;
        Ok(())
    }

    /// Accepts a connection. A peer without TLS is named in the error, and gets the `refusal` for
    /// its protocol, if there is one.
    ///
    /// # Errors
    ///
    /// The handshake failed.
    pub async fn accept<S: ByteStream>(
        &self,
        stream: S,
        refusal: impl FnOnce(PeerProtocol) -> Option<Vec<u8>>,
    ) -> io::Result<AcceptedStream<S>> {
        let acceptor = self.acceptors().plain;
        accept(&acceptor, stream, refusal).await
    }

    /// Accepts a connection of HTTP, whose version is negotiated, as [`accept`](Self::accept) does.
    ///
    /// # Errors
    ///
    /// The handshake failed.
    pub async fn accept_http<S: ByteStream>(
        &self,
        stream: S,
        refusal: impl FnOnce(PeerProtocol) -> Option<Vec<u8>>,
    ) -> io::Result<AcceptedStream<S>> {
        let acceptor = self.acceptors().http;
        accept(&acceptor, stream, refusal).await
    }

    fn acceptors(&self) -> Acceptors {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.acceptors.clone()
    }
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Error> {
    CertifiedKey::from_der(chain, key, ServerConfig::builder().crypto_provider())
}

async fn accept<S: ByteStream>(
    acceptor: &TlsAcceptor,
    stream: S,
    refusal: impl FnOnce(PeerProtocol) -> Option<Vec<u8>>,
) -> io::Result<AcceptedStream<S>> {
    let mut stream = RecordedStream::new(stream);
    let protocol = match stream.sniff().await? {
        None | Some(PeerProtocol::Tls) => return acceptor.accept(stream).await,
        Some(protocol) => protocol,
    };
    if let Some(refusal) = refusal(protocol) {
        // The peer may have gone.
        let _ = stream.write_all(&refusal).await;
        let _ = stream.shutdown().await;
        // Closing a socket with unread bytes resets it, and the response would be lost.
        let mut dropped = [0; 1 << 10];
        for _ in 0..MAX_LINGER_READS {
            if matches!(stream.read(&mut dropped).await, Ok(0) | Err(_)) {
                break;
            }
        }
    }
    let what = format!("the client speaks {protocol} without TLS, which this port requires");
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key must not get into logs.
        f.write_str("ServerCertificate")
    }
}
