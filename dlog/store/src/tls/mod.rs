//! TLS of the servers, and of the clients of a served store. rustls, with ring.
//!
//! A [`ServerCertificate`] is what a server presents; with [`ClientAuthorities`] it asks its
//! clients for certificates as well. A [`ClientTls`] is what a client trusts and presents.

mod client;
mod server;

use core::fmt;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use client::ClientTls;
pub(crate) use client::{describe_alert, is_alert};
pub use server::{AcceptedStream, ClientAuthorities, ServerCertificate};

/// A certificate or key file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// Description of the error.
    pub detail: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.detail)
    }
}

impl core::error::Error for TlsError {}

fn unusable(path: &Path, detail: &dyn fmt::Display) -> TlsError {
    TlsError {
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}

/// Reads the certificates in a PEM file, of which there is at least one.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, &error))?;
    if found.is_empty() {
        return Err(unusable(path, &"contains no certificate"));
    }
    Ok(found)
}

/// Reads a chain of certificates and a private key.
fn read_pem_files(
    certificates: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = read_certificates(certificates)?;
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    Ok((chain, private_key))
}

/// Reads the authorities whose certificates are in a PEM file.
fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(path, &error))?;
    }
    Ok(roots)
}
