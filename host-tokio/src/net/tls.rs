use core::fmt;
use std::io::{self, BufReader};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::error::TlsError;

/// TLS settings of the connections to proxies: trusted authorities, server name, client
/// certificate.
///
/// TLS 1.2 and 1.3. The authorities are those of the machine (`native_roots`, with the feature
/// `native-roots`), or only those given ([`only_roots`](Self::only_roots)), never none: a
/// certificate is always checked. [`client_config`](Self::client_config) takes rustls's own
/// settings instead.
///
/// The cryptography is that of the process's default provider, if the application has
/// [installed](CryptoProvider::install_default) one; otherwise ring, with the feature `ring` (on by
/// default).
#[derive(Clone)]
pub struct Tls {
    config: Option<Arc<ClientConfig>>,
    native: bool,
    roots: Vec<CertificateDer<'static>>,
    server_name: Option<String>,
    client_certificate: Option<Arc<ClientCertificate>>,
}

/// The certificate chain and the key with which this client shows who it is.
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    /// Trusts the authorities that the machine's owner trusts. Feature: `native-roots`.
    #[cfg(feature = "native-roots")]
    #[must_use]
    pub const fn native_roots() -> Self {
        Self::of(None, true)
    }

    /// Trusts only the authorities that are added with [`add_root`](Self::add_root).
    #[must_use]
    pub const fn only_roots() -> Self {
        Self::of(None, false)
    }

    /// Uses rustls's own settings: their cryptography, authorities and certificates.
    /// [`add_root`](Self::add_root) and [`client_certificate`](Self::client_certificate) cannot be
    /// combined with them.
    #[must_use]
    pub const fn client_config(config: Arc<ClientConfig>) -> Self {
        Self::of(Some(config), false)
    }

    const fn of(config: Option<Arc<ClientConfig>>, native: bool) -> Self {
        Self {
            config,
            native,
            roots: Vec::new(),
            server_name: None,
            client_certificate: None,
        }
    }

    /// Trusts the authorities whose certificates are in this PEM text too.
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`] when the text is not PEM or holds no certificate.
    pub fn add_root(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        self.roots.extend(certificates(pem)?);
        Ok(self)
    }

    /// The name that the proxies' certificates must be for, when it is not the host's in the name
    /// that was connected to.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets the certificate for proxies that ask for one.
    #[must_use]
    pub fn client_certificate(mut self, client_certificate: ClientCertificate) -> Self {
        self.client_certificate = Some(Arc::new(client_certificate));
        self
    }

    /// Makes the settings ready for use: loads the roots and reads the client's key. The clients of
    /// this crate do that themselves; others, such as the readers of `distributedlog-reader`, share
    /// the settings.
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`] when no authority is trusted, a certificate or the key is not one, or
    /// no cryptography is chosen; [`TlsError::InvalidServerName`].
    pub fn prepare(&self) -> Result<TlsConnector, TlsError> {
        let config = match &self.config {
            None => Arc::new(self.made_config()?),
            Some(_) if !self.roots.is_empty() || self.client_certificate.is_some() => {
                return Err(TlsError::Settings(
                    "a ClientConfig has its own roots and client certificate: none can be added"
                        .to_owned(),
                ));
            }
            Some(config) => Arc::clone(config),
        };
        let server_name = self.server_name.as_deref().map(parse_name).transpose()?;
        Ok(TlsConnector {
            connector: config.into(),
            server_name,
        })
    }

    fn made_config(&self) -> Result<ClientConfig, TlsError> {
        let mut store = RootCertStore::empty();
        if self.native {
            add_native_roots(&mut store);
        }
        for root in &self.roots {
            store
                .add(root.clone())
                .map_err(|error| TlsError::Settings(format!("root certificate: {error}")))?;
        }
        if store.is_empty() {
            return Err(TlsError::Settings(
                "no authority is trusted: add a root certificate".to_owned(),
            ));
        }
        let builder = ClientConfig::builder_with_provider(provider()?)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Settings(error.to_string()))?
            .with_root_certificates(store);
        match &self.client_certificate {
            None => Ok(builder.with_no_client_auth()),
            Some(client_certificate) => builder
                .with_client_auth_cert(
                    client_certificate.chain.clone(),
                    client_certificate.key.clone_key(),
                )
                .map_err(|error| TlsError::Settings(format!("client certificate: {error}"))),
        }
    }
}

#[cfg(feature = "native-roots")]
fn add_native_roots(store: &mut RootCertStore) {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of the machine's trust store cannot be read");
    }
    store.add_parsable_certificates(found.certs);
}

/// Never called: `Tls::native_roots` is left out too.
#[cfg(not(feature = "native-roots"))]
const fn add_native_roots(_: &mut RootCertStore) {}

/// Returns the process's cryptography, or the one that a feature chooses.
fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    if let Some(installed) = CryptoProvider::get_default() {
        return Ok(Arc::clone(installed));
    }
    #[cfg(feature = "ring")]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(feature = "ring"))]
    Err(TlsError::Settings(
        "no cryptography is chosen: install a provider (CryptoProvider::install_default), use \
         Tls::client_config, or enable the feature `ring` of distributedlog-tokio"
            .to_owned(),
    ))
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("client_config", &self.config.is_some())
            .field("native_roots", &self.native)
            .field("added_roots", &self.roots.len())
            .field("server_name", &self.server_name)
            .field("client_certificate", &self.client_certificate.is_some())
            .finish()
    }
}

impl ClientCertificate {
    /// Reads a certificate from these PEM texts: a chain, the client's own certificate first, and
    /// its key (PKCS#8, PKCS#1 or SEC1).
    ///
    /// # Errors
    ///
    /// [`TlsError::Settings`] when either text holds none.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Settings(format!("client key: {error}")))?;
        Ok(Self {
            chain: certificates(chain)?,
            key,
        })
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// [`Tls`] made ready for use. Cheap to clone.
#[derive(Clone)]
pub struct TlsConnector {
    connector: tokio_rustls::TlsConnector,
    server_name: Option<ServerName<'static>>,
}

impl TlsConnector {
    /// Makes a TLS session over `stream`, with `host` as the expected name unless the settings name
    /// another.
    ///
    /// # Errors
    ///
    /// The peer and the settings do not agree on a session, or the connection ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, TlsError> {
        self.connect(host, stream).await
    }

    /// Makes a TLS session over `stream`, with `host` as the expected name unless the settings name
    /// another.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TlsError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => parse_name(host)?,
        };
        let shown = name.to_str().into_owned();
        self.connector
            .connect(name, stream)
            .await
            .map_err(|error| TlsError::of_io(error, &shown))
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::InvalidServerName(name.to_owned()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut reader = BufReader::new(io::Cursor::new(pem));
    let found: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(&mut reader).collect();
    let found = found.map_err(|error| TlsError::Settings(format!("certificate: {error}")))?;
    if found.is_empty() {
        return Err(TlsError::Settings(
            "the PEM text holds no certificate".to_owned(),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusting_no_authority_is_refused() {
        assert!(matches!(
            Tls::only_roots().prepare(),
            Err(TlsError::Settings(_))
        ));
    }

    #[cfg(not(feature = "ring"))]
    #[test]
    fn without_cryptography_the_error_says_how_to_choose_one() {
        let authority = rcgen::generate_simple_self_signed(["proxies".to_owned()]).unwrap();
        let tls = Tls::only_roots().add_root(authority.cert.pem().as_bytes());
        let error = tls.unwrap().prepare().unwrap_err().to_string();
        for part in ["install_default", "client_config", "feature `ring`"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn text_without_a_certificate_is_refused() {
        assert!(matches!(
            Tls::only_roots().add_root(b"not a certificate"),
            Err(TlsError::Settings(_))
        ));
    }

    #[test]
    fn a_name_that_no_certificate_can_be_for_is_refused() {
        assert!(matches!(
            parse_name("no such name!"),
            Err(TlsError::InvalidServerName(_))
        ));
    }
}
