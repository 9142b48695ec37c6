use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use distributedlog_reader::ReaderPosition;
use serde::{Deserialize, Serialize};

use super::super::CliError;
use super::super::replace_file::replace_file;

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
        let content = serde_json::to_vec(content)?;
        replace_file(&self.path, ".dlog-position-", &content, None)
    }
}
