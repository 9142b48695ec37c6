use std::fs;
use std::path::Path;

use toml_edit::DocumentMut;

use super::super::CliError;
use super::super::replace_file::{folder_of, replace_file};
use super::file::ConfigFile;

/// Changes a configuration file. What `change` does not touch stays, comments too. The new text is
/// checked, and replaces the old one atomically; folders that are missing are created.
///
/// # Errors
/// The file cannot be read or written, or is not valid afterwards.
pub(crate) fn edit(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), CliError>,
) -> Result<ConfigFile, CliError> {
    let failed = |what: &str, error: std::io::Error| {
        CliError::failure(format!("cannot {what} {}: {error}", path.display()))
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed("read", error)),
    };
    ConfigFile::parse(path, &text)?;
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error| CliError::usage(format!("{}: {error}", path.display())))?;
    change(&mut document)?;
    let text = document.to_string();
    let file = ConfigFile::parse(path, &text)?;
    replace(path, &text).map_err(|error| failed("write", error))?;
    Ok(file)
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // A link, as managers of such files make it, stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    fs::create_dir_all(folder_of(&path))?;
    let permissions = fs::metadata(&path)
        .ok()
        .map(|metadata| metadata.permissions());
    replace_file(&path, ".dlog-config-", text.as_bytes(), permissions)
}
