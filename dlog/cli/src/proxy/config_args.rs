//! Flags about the original's configuration file and about what the proxy's settings are.

use std::path::PathBuf;

use super::super::{CliError, Format};
use super::properties::Configuration;

/// A configuration file, and a list of the settings.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Take settings from this configuration file of the original; flags go before it. Keys without
    /// an effect here are logged, each with the reason
    #[arg(short, long, value_name = "FILE")]
    conf: Option<PathBuf>,

    /// Print every setting, its value, and where that comes from: a flag, the environment, a line
    /// of the file of -c, or the default; start nothing
    #[arg(long)]
    pub(super) print_config: bool,

    /// Output format of --print-config
    #[arg(long, value_enum, default_value_t, requires = "print_config")]
    pub(super) format: Format,
}

impl ConfigArgs {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// It cannot be read or parsed, or a value of it does not fit.
    pub(super) fn read(&self) -> Result<Option<Configuration>, CliError> {
        self.conf.as_deref().map(Configuration::read).transpose()
    }
}
