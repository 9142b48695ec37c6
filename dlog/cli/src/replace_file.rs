use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces a file atomically, or creates it: after a crash it has either the old or the new
/// content. The new one is written to a file beside it, whose name begins with `prefix`, with these
/// permissions, or for its owner alone.
///
/// # Errors
/// The folder or the file cannot be written. The old content stays.
pub(crate) fn replace_file(
    path: &Path,
    prefix: &str,
    content: &[u8],
    permissions: Option<Permissions>,
) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(prefix)
        .tempfile_in(folder)?;
    file.write_all(content)?;
    if let Some(permissions) = permissions {
        fs::set_permissions(file.path(), permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The new name must survive a power cut too, so the folder is synced as well. Windows cannot
    // open folders, and needs no such sync.
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        Err(_) => Ok(()),
    }
}

/// Returns the folder of a file, also of one that is named without it.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}
