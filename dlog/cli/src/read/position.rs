use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use distributedlog_reader::ReaderPosition;
use serde::{Deserialize, Serialize};

use super::super::CliError;

/// Maximum size of a file that is read: far above the largest that is written.
const MAX_BYTES: u64 = 64 << 20;

/// File with the position of a reader.
#[derive(Debug)]
pub(super) struct SavedPosition {
    path: PathBuf,
    place: String,
}

/// Content of the file, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// The place whose streams were read: other places have other records at the same positions.
    place: String,
    position: ReaderPosition,
}

impl SavedPosition {
    pub(super) fn new(path: &Path, place: String) -> Self {
        let path = path.to_owned();
        Self { path, place }
    }

    /// Returns the saved position, or `None` if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, is no position, or belongs to another place.
    pub(super) fn load(&self) -> Result<Option<ReaderPosition>, CliError> {
        let failed = |error: &dyn core::fmt::Display| {
            CliError::failure(format!(
                "cannot read the position in {}: {error}",
                self.path.display()
            ))
            .tip("name another file with --position, or remove this one to begin anew")
        };
        let mut text = Vec::new();
        match File::open(&self.path) {
            Ok(file) => {
                let read = file.take(MAX_BYTES).read_to_end(&mut text);
                read.map_err(|error| failed(&error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        }
        let content: Content = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
        if content.place != self.place {
            let (found, place) = (content.place, &self.place);
            return Err(failed(&format!("it belongs to {found}, not to {place}")));
        }
        Ok(Some(content.position))
    }

    /// Replaces the file atomically: after a crash it has either the old or the new position.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn save(&self, position: ReaderPosition) -> Result<(), CliError> {
        let place = self.place.clone();
        self.replace(&Content { place, position }).map_err(|error| {
            CliError::failure(format!(
                "cannot write the position to {}: {error}",
                self.path.display()
            ))
        })
    }

    fn replace(&self, content: &Content) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) | None => Path::new("."),
        };
        let mut file = tempfile::Builder::new()
            .prefix(".dlog-position-")
            .tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(content)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        // The new name must survive a power cut too. Windows cannot open folders, and needs no
        // such sync.
        match fs::File::open(folder) {
            Ok(folder) => folder.sync_all(),
            Err(_) => Ok(()),
        }
    }
}
