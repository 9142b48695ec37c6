use core::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use distributedlog_reader::HttpSource;
use distributedlog_tokio::{ClientCertificate, Tls};

use super::super::CliError;

/// Longest file of a token. One of 256 bits has 64 letters.
const MAX_TOKEN_BYTES: usize = 4096;

/// Files and names of a client's security, before the files are read.
#[derive(Clone, Debug, Default)]
pub(super) struct SecurityFiles {
    pub(super) token: Option<PathBuf>,
    pub(super) tls: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) name: Option<String>,
}

/// What a client shows to servers, and which servers it trusts.
#[derive(Clone, Default)]
pub(crate) struct ClientSecurity {
    token: Option<String>,
    tls: Option<Tls>,
}

impl ClientSecurity {
    /// Returns the TLS settings, if any flag or context has some.
    pub(crate) const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Returns the token for HTTP ports, if there is one.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Returns the source of a reader over this HTTP port.
    pub(crate) fn http_source(&self, url: &str) -> HttpSource {
        let tls = self.tls.clone().unwrap_or_else(Tls::native_roots);
        let source = HttpSource::new([url]).tls(tls);
        match &self.token {
            Some(token) => source.token(token),
            None => source,
        }
    }
}

impl fmt::Debug for ClientSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecurity")
            .field("token", &self.token.is_some())
            .field("tls", &self.tls)
            .finish()
    }
}

impl SecurityFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// A file cannot be read, or holds something else.
    pub(super) fn read(&self) -> Result<ClientSecurity, CliError> {
        let token = self.token.as_deref().map(read_token).transpose()?;
        let is_tls = self.tls
            || self.ca.is_some()
            || self.certificate.is_some()
            || self.key.is_some()
            || self.name.is_some();
        let tls = is_tls.then(|| self.read_tls()).transpose()?;
        Ok(ClientSecurity { token, tls })
    }

    fn read_tls(&self) -> Result<Tls, CliError> {
        let mut tls = Tls::native_roots();
        if let Some(file) = &self.ca {
            let pem = read("authorities", file)?;
            tls = tls
                .add_root(&pem)
                .map_err(|error| invalid("authorities", file, &error))?;
        }
        if let Some(name) = &self.name {
            tls = tls.server_name(name);
        }
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let chain = read("certificate", certificate)?;
                let pem = read("private key", key)?;
                let shown = ClientCertificate::from_pem(&chain, &pem)
                    .map_err(|error| invalid("certificate", certificate, &error))?;
                tls = tls.client_certificate(shown);
            }
            (Some(_), None) => return Err(alone("--tls-certificate", "--tls-key")),
            (None, Some(_)) => return Err(alone("--tls-key", "--tls-certificate")),
            (None, None) => {}
        }
        // The first connection would say so much later, once for each proxy.
        tls.prepare()
            .map_err(|error| CliError::usage(format!("the TLS settings are not valid: {error}")))?;
        Ok(tls)
    }
}

fn alone(given: &str, missing: &str) -> CliError {
    CliError::usage(format!("{given} has no meaning without {missing}"))
        .tip("name both files, of the certificate chain and of its private key")
}

fn invalid(what: &str, file: &Path, error: &dyn fmt::Display) -> CliError {
    CliError::usage(format!(
        "the file of the {what}, {}, is not valid: {error}",
        file.display()
    ))
}

fn read(what: &str, file: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(file).map_err(|error| {
        CliError::usage(format!(
            "cannot read the file of the {what}, {}: {error}",
            file.display()
        ))
    })
}

fn read_token(file: &Path) -> Result<String, CliError> {
    let bytes = read("token", file)?;
    let text = String::from_utf8(bytes).ok();
    let token = text.as_deref().map(str::trim).filter(|token| {
        let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && is_plain
    });
    token.map(str::to_owned).ok_or_else(|| {
        // The content is a secret.
        CliError::usage(format!(
            "the file of the token, {}, must hold one word of at most {MAX_TOKEN_BYTES} letters, \
             digits and signs",
            file.display()
        ))
    })
}
