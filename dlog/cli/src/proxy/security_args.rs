use core::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueEnum;
use distributedlog_proxy::{AuditLog, Authorization, HttpTokens};

use super::super::CliError;
use super::super::config::Shown;
use super::reload::HeldFiles;

const HEADING: &str = "Who may do what";

/// Flags that say which clients there are, and what each may do.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SecurityArgs {
    /// Ask clients of the thrift port and of the HTTP port for a certificate of this authority
    /// (PEM); the name in it is the client's
    #[arg(long, value_name = "FILE", requires = "tls_certificates", help_heading = HEADING)]
    pub(super) tls_client_ca: Option<PathBuf>,

    /// Clients without a certificate: `required`: they are refused; `optional`: they are served as
    /// clients without a name [default: required]
    #[arg(long, value_name = "WHEN", requires = "tls_client_ca", help_heading = HEADING)]
    pub(super) tls_client_auth: Option<ClientAuth>,

    /// Require a token of this file, or a certificate, from clients of the HTTP port and of the
    /// stats port: one line for each, made by `dlog token new`
    #[arg(long, value_name = "FILE", requires = "http_ports", help_heading = HEADING)]
    pub(super) http_tokens: Option<PathBuf>,

    /// Allow only what the rules in this file (TOML) allow: which clients may read, write, create
    /// and administer which streams; and limit each client's requests and bytes a second
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(super) authorization: Option<PathBuf>,

    /// Log administration, and requests that are refused because of their client, to this file as
    /// lines of JSON; `-`: to the standard error
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(super) audit_log: Option<PathBuf>,
}

/// Treatment of clients without a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ClientAuth {
    #[default]
    Required,
    Optional,
}

impl ClientAuth {
    const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

impl SecurityArgs {
    /// Reads the tokens and the rules.
    ///
    /// # Errors
    /// A file cannot be used. The error names its flag.
    pub(super) fn read(&self, held: &mut HeldFiles) -> Result<(), CliError> {
        if let Some(file) = &self.http_tokens {
            let tokens = HttpTokens::from_file(file);
            let tokens = tokens.map_err(|error| {
                CliError::failure(format!("--http-tokens {error}"))
                    .tip("make a token and its line with: dlog token new NAME --file FILE")
            })?;
            held.tokens = Some(tokens.clone());
            let path = file.clone();
            let read = move || tokens.reload_file(&path).map_err(|error| error.to_string());
            held.files.add("tokens", &[file], read);
        }
        if let Some(file) = &self.authorization {
            let rules = Authorization::from_file(file);
            let rules =
                rules.map_err(|error| CliError::failure(format!("--authorization {error}")))?;
            held.authorization = Some(rules.clone());
            let path = file.clone();
            let read = move || rules.reload_file(&path).map_err(|error| error.to_string());
            held.files.add("rules", &[file], read);
        }
        Ok(())
    }

    /// Opens the audit log, and has SIGHUP open it again.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn open_audit_log(&self, held: &mut HeldFiles) -> Result<(), CliError> {
        let Some(file) = &self.audit_log else {
            return Ok(());
        };
        let opened = if file.as_os_str() == "-" {
            AuditLog::to_stderr()
        } else {
            AuditLog::to_file(file)
        };
        let log = opened.map_err(|error| {
            CliError::failure(format!("--audit-log {}: {error}", file.display()))
        })?;
        held.audit_log = Some(log.clone());
        held.files.on_hangup(move || log.reopen());
        Ok(())
    }

    /// Warns if other machines reach the proxy, and it has no names for its clients.
    pub(super) fn warn_if_open(&self, bound: SocketAddr) {
        if !bound.ip().is_loopback() && self.tls_client_ca.is_none() && self.authorization.is_none()
        {
            tracing::warn!(
                "every client that reaches {bound} can write to every stream: --authorization says \
                 who may, by certificates (--tls-client-ca) and tokens (--http-tokens)"
            );
        }
    }

    /// Returns the settings, for `--print-config`.
    pub(super) fn shown(&self) -> [Shown; 5] {
        let path = |file: &Option<PathBuf>| file.as_ref().map(|it| it.display().to_string());
        let auth = self.tls_client_auth.map(|it| it.name().to_owned());
        [
            Shown::of(
                "tls_client_ca",
                path(&self.tls_client_ca),
                "--tls-client-ca",
                "none",
            ),
            Shown::of(
                "tls_client_auth",
                auth,
                "--tls-client-auth",
                ClientAuth::default().name(),
            ),
            Shown::of(
                "http_tokens",
                path(&self.http_tokens),
                "--http-tokens",
                "none",
            ),
            Shown::of(
                "authorization",
                path(&self.authorization),
                "--authorization",
                "none",
            ),
            Shown::of("audit_log", path(&self.audit_log), "--audit-log", "none"),
        ]
    }
}
