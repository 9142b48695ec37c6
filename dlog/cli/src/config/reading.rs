use std::ffi::OsString;
use std::path::PathBuf;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;

use super::super::{Cli, CliError, legacy};
use super::{Applied, ConfigFile, Location, VARIABLE, apply, check_file, install};

/// A command line that was read with the configuration file, and the file's error, if it is not
/// valid: commands that need no settings run all the same.
pub(crate) struct Configured {
    pub(crate) cli: Cli,
    pub(crate) error: Option<CliError>,
}

/// Reads a command line with the configuration file that it, the environment or the system names,
/// and keeps both for this process.
///
/// # Errors
/// A usage error, or the command line asks for help or the version.
pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Configured, clap::Error> {
    let args = legacy::rewrite(args);
    let flag = named_file(&args);
    let variable = std::env::var_os(VARIABLE).map(PathBuf::from);
    let location = Location::find(flag.as_deref(), variable.as_deref());
    let file = location
        .as_ref()
        .map_or_else(|| Ok(ConfigFile::default()), Location::read);
    let file = file.and_then(|file| check_file(&file).map(|()| file));
    let (file, error) = match file {
        Ok(file) => (file, None),
        Err(error) => (ConfigFile::default(), Some(error)),
    };
    let (matches, applied): (_, Applied) = match (apply(&Cli::laid_out(), &args, &file), &error) {
        (Ok(read), _) => read,
        // What is missing may stand in the file.
        (Err(missing), Some(error)) if missing.kind() == ErrorKind::MissingRequiredArgument => {
            let text = error.report(false).unwrap_or_default();
            let text = text.trim_start_matches("error: ").to_owned();
            return Err(clap::Error::raw(ErrorKind::ValueValidation, text));
        }
        (Err(refused), _) => return Err(refused),
    };
    let cli = Cli::from_arg_matches(&matches)?;
    install(file, applied);
    Ok(Configured { cli, error })
}

/// Returns the file that the command line names.
fn named_file(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter().skip(1).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        let joined = arg.to_str().and_then(|arg| arg.strip_prefix("--config="));
        if let Some(file) = joined {
            return Some(file.into());
        }
    }
    None
}
