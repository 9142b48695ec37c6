use std::path::PathBuf;

use super::CliError;

/// Returns the folder `below` in the folder of this program's user data.
///
/// # Errors
/// The system has no such folder, for instance because `HOME` is unset.
pub(crate) fn user_data(below: &str) -> Result<PathBuf, CliError> {
    let base = dirs::data_dir().ok_or_else(|| {
        CliError::failure("cannot find the folder of the user's data (is HOME set?)")
            .tip("name a folder with --data DIR")
    })?;
    Ok(base.join("dlog").join(below))
}
