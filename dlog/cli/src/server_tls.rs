use std::path::PathBuf;

use super::CliError;
use super::reload::ReloadedFiles;
use distributedlog_store::tls::{ClientAuthorities, ServerCertificate};

/// The files of a server's TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerTls<'a> {
    pub(crate) chain: &'a PathBuf,
    pub(crate) key: &'a PathBuf,
    /// Authority of the clients' certificates. `None`: none is asked for.
    pub(crate) client_ca: Option<&'a PathBuf>,
    /// Refuse clients without a certificate.
    pub(crate) client_required: bool,
}

impl ServerTls<'_> {
    /// Reads the files, and adds them to those that are read again.
    ///
    /// # Errors
    /// A file cannot be used. The error names its flag.
    pub(crate) fn read(&self, files: &mut ReloadedFiles) -> Result<ServerCertificate, CliError> {
        let (chain, key) = (self.chain.clone(), self.key.clone());
        let certificate = ServerCertificate::from_pem_files(&chain, &key).map_err(|error| {
            let flag = if error.path == key {
                "--tls-key"
            } else {
                "--tls-certificates"
            };
            CliError::failure(format!("{flag} {error}"))
        })?;
        let held = certificate.clone();
        let read = move || {
            let read = held.reload_pem_files(&chain, &key);
            read.map_err(|error| error.to_string())
        };
        files.add("certificate", &[self.chain, self.key], read);
        if let Some(authority) = self.client_ca {
            let (path, required) = (authority.clone(), self.client_required);
            let held = certificate.clone();
            let read = move || {
                let authorities = ClientAuthorities::from_pem_file(&path, required);
                let authorities = authorities.map_err(|error| error.to_string())?;
                let set = held.set_client_authorities(Some(authorities));
                set.map_err(|error| format!("{}: {error}", path.display()))
            };
            read().map_err(|error| CliError::failure(format!("--tls-client-ca {error}")))?;
            files.add("client authority", &[authority], read);
        }
        Ok(certificate)
    }
}
