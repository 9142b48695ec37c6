use std::path::PathBuf;

use super::CliError;
use super::config::Shown;
use distributedlog_store::remote::{ClientSettings, StoreSecret};
use distributedlog_store::tls::ClientTls;

/// Environment variables of the flags, for commands that have only a URI.
const CA: &str = "DLOG_STORE_CA";
const CERTIFICATE: &str = "DLOG_STORE_CERTIFICATE";
const KEY: &str = "DLOG_STORE_KEY";
const SECRET_FILE: &str = "DLOG_STORE_SECRET_FILE";

/// Flags for what a served store demands of its clients.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct StoreSecurityArgs {
    /// Connect to the store by TLS, and trust this authority (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = CA,
        hide_env_values = true,
        help_heading = "A store with TLS or a secret"
    )]
    pub(crate) store_ca: Option<PathBuf>,

    /// Present this certificate chain to a store that requires one (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = CERTIFICATE,
        hide_env_values = true,
        requires = "store_ca",
        requires = "store_key",
        help_heading = "A store with TLS or a secret"
    )]
    pub(crate) store_certificate: Option<PathBuf>,

    /// The private key of --store-certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        env = KEY,
        hide_env_values = true,
        requires = "store_certificate",
        help_heading = "A store with TLS or a secret"
    )]
    pub(crate) store_key: Option<PathBuf>,

    /// Prove the secret in this file to the store, which must prove it too: the file of its
    /// --secret-file
    #[arg(
        long,
        value_name = "FILE",
        env = SECRET_FILE,
        hide_env_values = true,
        help_heading = "A store with TLS or a secret"
    )]
    pub(crate) store_secret_file: Option<PathBuf>,
}

impl StoreSecurityArgs {
    /// Returns what the environment says, for commands without the flags.
    pub(crate) fn of_environment() -> Self {
        let file = |name| std::env::var_os(name).filter(|text| !text.is_empty());
        Self {
            store_ca: file(CA).map(PathBuf::from),
            store_certificate: file(CERTIFICATE).map(PathBuf::from),
            store_key: file(KEY).map(PathBuf::from),
            store_secret_file: file(SECRET_FILE).map(PathBuf::from),
        }
    }

    /// Returns the flags, for `--print-config`.
    pub(crate) fn shown(&self) -> [Shown; 4] {
        let path = |file: &Option<PathBuf>| file.as_ref().map(|it| it.display().to_string());
        let chain = path(&self.store_certificate);
        let secret = path(&self.store_secret_file);
        [
            Shown::of("store_ca", path(&self.store_ca), "--store-ca", "none"),
            Shown::of("store_certificate", chain, "--store-certificate", "none"),
            Shown::of("store_key", path(&self.store_key), "--store-key", "none"),
            Shown::of("store_secret_file", secret, "--store-secret-file", "none"),
        ]
    }

    /// Reads the files, and returns the settings of a store's client.
    ///
    /// # Errors
    /// A file cannot be used. The error names its flag.
    pub(crate) fn settings(&self) -> Result<ClientSettings, CliError> {
        // Other settings have no flags: the timeouts suit a person who waits, who can run a command
        // again, and a proxy, which reconnects by itself.
        let mut settings = ClientSettings::default();
        let own = self.store_certificate.as_deref();
        let own = own.zip(self.store_key.as_deref());
        if let Some(authorities) = &self.store_ca {
            let tls = ClientTls::from_pem_files(authorities, own).map_err(|error| {
                let flag = match &own {
                    Some((_, key)) if error.path == *key => "--store-key",
                    Some((chain, _)) if error.path == *chain => "--store-certificate",
                    Some(_) | None => "--store-ca",
                };
                CliError::failure(format!("{flag} {error}"))
            })?;
            settings.tls = Some(tls);
        }
        if let Some(file) = &self.store_secret_file {
            let secret = StoreSecret::from_file(file).map_err(|error| {
                CliError::failure(format!("--store-secret-file: {error}"))
                    .tip("make one with: openssl rand -base64 32 > FILE")
            })?;
            settings.secret = Some(secret);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_flag() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "short").expect("a file");
        let refused = |security: StoreSecurityArgs| {
            security
                .settings()
                .map(drop)
                .expect_err("unusable")
                .to_string()
        };
        let secret = refused(StoreSecurityArgs {
            store_secret_file: Some(file.clone()),
            ..StoreSecurityArgs::default()
        });
        assert!(
            secret.starts_with("--store-secret-file: no secret in ")
                && secret.ends_with("a secret has 16 to 4096 bytes"),
            "{secret}"
        );
        let authority = refused(StoreSecurityArgs {
            store_ca: Some(file),
            ..StoreSecurityArgs::default()
        });
        assert!(
            authority.starts_with("--store-ca ") && authority.ends_with("contains no certificate"),
            "{authority}"
        );
    }
}
