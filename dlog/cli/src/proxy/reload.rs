use std::path::PathBuf;

use distributedlog_proxy::{HttpToken, ServerCertificate};

use super::super::CliError;
use super::super::reload::ReloadedFiles;
use super::super::server_tls::ServerTls;

/// What a proxy holds of the files that it reads again.
#[derive(Debug, Default)]
pub(super) struct HeldFiles {
    pub(super) token: Option<HttpToken>,
    pub(super) certificate: Option<ServerCertificate>,
    /// The files.
    pub(super) files: ReloadedFiles,
}

impl super::Args {
    /// Reads the token and the certificate.
    ///
    /// # Errors
    /// A file cannot be used. The error names its flag.
    pub(super) fn read_files(&self) -> Result<HeldFiles, CliError> {
        let mut held = HeldFiles::default();
        if let Some(file) = &self.http_token_file {
            let token = HttpToken::from_file(file);
            let token = token.map_err(|error| CliError::failure(error.to_string()))?;
            held.token = Some(token.clone());
            let path = PathBuf::clone(file);
            let read = move || token.reload_file(&path).map_err(|error| error.to_string());
            held.files.add("token", &[file], read, |_| ());
        }
        if let (Some(chain), Some(key)) = (&self.tls_certificates, &self.tls_key) {
            let tls = ServerTls {
                chain,
                key,
                client_ca: None,
                client_required: true,
            };
            held.certificate = Some(tls.read(&mut held.files, |_| ())?);
        }
        Ok(held)
    }
}
