use core::convert::Infallible;
use std::path::PathBuf;

use distributedlog_proxy::{HttpToken, ServerCertificate};
use tokio::sync::watch;

use super::super::{CliError, Shutdown};

/// Files that a proxy reads again on SIGHUP, and what it holds of them.
#[derive(Debug, Default)]
pub(super) struct ReloadedFiles {
    pub(super) token: Option<(PathBuf, HttpToken)>,
    /// The certificates, the key, and both as the proxy uses them.
    pub(super) certificate: Option<(PathBuf, PathBuf, ServerCertificate)>,
}

impl ReloadedFiles {
    /// Makes SIGHUP request a reload from now on. Without files it requests a drain, as it does of
    /// other commands, and the result is `None`.
    pub(super) fn hangups(&self, shutdown: &Shutdown) -> Option<watch::Receiver<u64>> {
        (self.token.is_some() || self.certificate.is_some()).then(|| shutdown.reloads())
    }

    /// Reads the files at each SIGHUP. Never completes.
    ///
    /// # Cancel safety
    /// Dropping the future ends the reloading.
    pub(super) async fn reload_at(&self, hangups: Option<watch::Receiver<u64>>) -> Infallible {
        if let Some(mut hangups) = hangups {
            // Bounded: each round is a signal.
            while hangups.changed().await.is_ok() {
                self.reload();
            }
        }
        core::future::pending().await
    }

    /// Reads the files. What cannot be used is logged, and what was read before is kept.
    fn reload(&self) {
        if let Some((file, token)) = &self.token {
            match token.reload_file(file) {
                Ok(()) => tracing::info!("SIGHUP: read the token in {} again", file.display()),
                Err(error) => tracing::error!("SIGHUP: {error}; the former token stays"),
            }
        }
        if let Some((certificates, key, certificate)) = &self.certificate {
            match certificate.reload_pem_files(certificates, key) {
                Ok(()) => {
                    let (certificates, key) = (certificates.display(), key.display());
                    tracing::info!(
                        "SIGHUP: read the certificate in {certificates} and {key} again"
                    );
                }
                Err(error) => tracing::error!("SIGHUP: {error}; the former certificate stays"),
            }
        }
    }
}

impl super::Args {
    /// Reads the token and the certificate.
    ///
    /// # Errors
    /// A file cannot be used. The error names its flag.
    pub(super) fn read_files(&self) -> Result<ReloadedFiles, CliError> {
        let mut files = ReloadedFiles::default();
        if let Some(file) = &self.http_token_file {
            let token = HttpToken::from_file(file);
            let token = token.map_err(|error| CliError::failure(error.to_string()))?;
            files.token = Some((file.clone(), token));
        }
        if let (Some(certificates), Some(key)) = (&self.tls_certificates, &self.tls_key) {
            let certificate =
                ServerCertificate::from_pem_files(certificates, key).map_err(|error| {
                    let flag = if error.path == *key {
                        "--tls-key"
                    } else {
                        "--tls-certificates"
                    };
                    CliError::failure(format!("{flag} {error}"))
                })?;
            files.certificate = Some((certificates.clone(), key.clone(), certificate));
        }
        Ok(files)
    }
}
