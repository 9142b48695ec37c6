use std::path::PathBuf;

use super::Fault;

/// The folder of a user's own data of this program, or the one below it.
///
/// # Errors
/// The system names no such folder, for instance because `HOME` is unset.
pub(crate) fn user_data(below: &str) -> Result<PathBuf, Fault> {
    let base = dirs::data_dir().ok_or_else(|| {
        Fault::failure("this system names no folder for a user's data (is HOME set?)")
            .tip("name a folder with --data DIR")
    })?;
    Ok(base.join("dlog").join(below))
}
