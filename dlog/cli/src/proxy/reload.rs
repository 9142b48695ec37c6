use std::path::PathBuf;

use distributedlog_proxy::{AuditLog, Authorization, HttpToken, HttpTokens, ServerCertificate};

use super::super::CliError;
use super::super::reload::ReloadedFiles;
use super::super::server_tls::ServerTls;
use super::security_args::ClientAuth;

/// What a proxy holds of the files that it reads again.
#[derive(Debug, Default)]
pub(super) struct HeldFiles {
    pub(super) token: Option<HttpToken>,
    pub(super) certificate: Option<ServerCertificate>,
    pub(super) tokens: Option<HttpTokens>,
    pub(super) authorization: Option<Authorization>,
    pub(super) audit_log: Option<AuditLog>,
    /// The files.
    pub(super) files: ReloadedFiles,
}

impl super::Args {
    /// Reads tokens, certificates and rules.
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
            held.files.add("token", &[file], read);
        }
        if let (Some(chain), Some(key)) = (&self.tls_certificates, &self.tls_key) {
            let tls = ServerTls {
                chain,
                key,
                client_ca: self.security.tls_client_ca.as_ref(),
                client_required: self.security.tls_client_auth.unwrap_or_default()
                    == ClientAuth::Required,
            };
            held.certificate = Some(tls.read(&mut held.files)?);
        }
        self.security.read(&mut held)?;
        Ok(held)
    }
}
