//! The configuration file: tables with the flags of commands, and contexts that name places.

mod apply;
mod check;
mod command;
mod edit;
mod file;
mod nearest;
mod reading;
mod shown;

use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

pub(crate) use apply::{Applied, apply};
pub(crate) use command::{Args, check_file};
pub(crate) use edit::edit;
pub(crate) use file::{CONTEXTS, CURRENT, ConfigFile, Context, ContextKey, put_context, set_value};
pub(crate) use reading::{Configured, read};
pub(crate) use shown::{DEFAULT, Shown, print};

use super::CliError;

/// Environment variable that names the file.
pub(crate) const VARIABLE: &str = "DLOG_CONFIG";

/// Configuration of this process: the file, and its settings that are in effect.
static LOADED: OnceLock<ConfigFile> = OnceLock::new();
static APPLIED: RwLock<Option<Applied>> = RwLock::new(None);

/// Returns the configuration file of this process: an empty one before [`install`].
pub(crate) fn loaded() -> &'static ConfigFile {
    static EMPTY: OnceLock<ConfigFile> = OnceLock::new();
    let empty = || EMPTY.get_or_init(ConfigFile::default);
    LOADED.get().unwrap_or_else(empty)
}

/// Sets the configuration of this process. Only the first call counts.
pub(crate) fn install(file: ConfigFile, applied: Applied) {
    let _ = LOADED.set(file);
    *APPLIED.write().unwrap_or_else(PoisonError::into_inner) = Some(applied);
}

/// Returns the line of the file that sets this flag of the command that runs, if the file does and
/// neither the command line nor the environment has another value.
pub(crate) fn origin(flag: &str) -> Option<String> {
    let applied = APPLIED.read().unwrap_or_else(PoisonError::into_inner);
    applied.as_ref()?.origin(flag)
}

/// Path of a configuration file, and whether the user has named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) path: PathBuf,
    /// A file that was named must exist.
    pub(crate) named: bool,
}

impl Location {
    /// Returns the path that a flag or the environment names, or the default one: `None` if this
    /// system has no folder for configuration.
    pub(crate) fn find(flag: Option<&Path>, variable: Option<&Path>) -> Option<Self> {
        let named = flag.or_else(|| variable.filter(|it| !it.as_os_str().is_empty()));
        if let Some(path) = named {
            let path = path.to_owned();
            return Some(Self { path, named: true });
        }
        Some(Self {
            path: dirs::config_dir()?.join("dlog/config.toml"),
            named: false,
        })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read or is not valid, or a file that was named does not exist.
    pub(crate) fn read(&self) -> Result<ConfigFile, CliError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => ConfigFile::parse(&self.path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.named => {
                Ok(ConfigFile::empty(&self.path))
            }
            Err(error) => Err(CliError::usage(format!(
                "cannot read the configuration file {}: {error}",
                self.path.display()
            ))
            .tip(format!(
                "name another one with --config FILE or {VARIABLE}, or unset that"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
