use std::path::PathBuf;

use distributedlog_tokio::Tls;

use super::CliError;
use super::place::Place;

/// Flags that say where the streams are.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct WhereArgs {
    /// The place of the streams: a namespace (distributedlog://HOST:PORT/NAMESPACE), write proxies
    /// (inet!HOST:PORT), or the HTTP port of one (http://HOST:PORT)
    #[arg(long, value_name = "WHERE", env = "DLOG_TO", hide_env_values = true)]
    to: Option<Place>,

    /// The file with the token for the proxy's HTTP port
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where the streams are, and how one gets there.
#[derive(Debug)]
pub(crate) struct Where {
    pub(crate) place: Place,
    pub(crate) token: Option<String>,
    pub(crate) tls: Option<Tls>,
}

impl WhereArgs {
    /// Returns the place.
    ///
    /// # Errors
    /// None is named, or the token's file cannot be read.
    pub(crate) fn resolve(&self) -> Result<Where, CliError> {
        let from_uri = || match std::env::var("DLOG_URI") {
            Ok(uri) => uri.parse::<Place>().map(Some).map_err(CliError::usage),
            Err(_) => Ok(None),
        };
        let place = match &self.to {
            Some(place) => Some(place.clone()),
            None => from_uri()?,
        };
        let place = place.ok_or_else(|| {
            CliError::usage("the command does not say where the streams are")
                .tip("name the place: --to http://127.0.0.1:8002, or set DLOG_TO")
        })?;
        let token = self.token_file.as_deref().map(|file| {
            let token = std::fs::read_to_string(file);
            token.map(|token| token.trim().to_owned()).map_err(|error| {
                CliError::failure(format!("cannot read {}: {error}", file.display()))
            })
        });
        Ok(Where {
            place,
            token: token.transpose()?,
            tls: None,
        })
    }
}
