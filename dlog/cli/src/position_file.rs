use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CliError;
use super::place::Place;
use super::replace_file::replace_file;
use distributedlog_reader::MergePosition;
use distributedlog_store::{StoreId, StreamName};

/// Maximum size of a file that is read: far above the largest that a merged reader with default
/// settings can write.
const MAX_BYTES: u64 = 64 << 20;

/// File with the position of a merged reader in the streams of a namespace.
#[derive(Debug)]
pub(crate) struct PositionFile {
    path: PathBuf,
    namespace: String,
    store: Option<StoreId>,
}

/// Content of the file, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    namespace: String,
    /// Identity of the store, where it has one. The first versions saved none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    position: MergePosition,
}

impl PositionFile {
    /// Creates a handle for the file at `path`, which need not exist yet, with positions in a
    /// namespace of the store with this identity.
    pub(crate) fn new(path: &Path, namespace: &Place, store: Option<StoreId>) -> Self {
        Self {
            path: path.to_owned(),
            namespace: namespace.to_string(),
            store,
        }
    }

    /// Returns the saved position, or `None` if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, is not a position file, or belongs to another namespace, to another
    /// store, or to streams that are not among `streams`.
    pub(crate) fn load(&self, streams: &[StreamName]) -> Result<Option<MergePosition>, CliError> {
        let mut text = Vec::new();
        match File::open(&self.path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text))
        {
            Ok(read) if read as u64 > MAX_BYTES => {
                return Err(self.foreign(&format!("it is larger than {MAX_BYTES} bytes")));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(CliError::failure(format!(
                    "cannot read the position file {}: {error}",
                    self.path.display()
                )));
            }
        }
        let content: Content =
            serde_json::from_slice(&text).map_err(|error| self.foreign(&error.to_string()))?;
        if content.namespace != self.namespace {
            let found = content.namespace;
            let message = format!(
                "the position file {} belongs to {found}, not to {}",
                self.path.display(),
                self.namespace
            );
            return Err(CliError::failure(message).tip("name another file with --position"));
        }
        let saved_in = content.store.as_deref().map(str::parse::<StoreId>);
        let saved_in = saved_in
            .transpose()
            .map_err(|error| self.foreign(&error.to_string()))?;
        if let (Some(saved_in), Some(store)) = (saved_in, self.store)
            && saved_in != store
        {
            let message = format!(
                "the position file {} belongs to the store {saved_in}, and {} has the store \
                 {store}: the same positions are other records there",
                self.path.display(),
                self.namespace
            );
            return Err(CliError::failure(message).tip(
                "bring that store back, or name another file with --position to read this one",
            ));
        }
        let others: Vec<&str> = content
            .position
            .streams()
            .map(|(name, _)| name)
            .filter(|name| !streams.contains(name))
            .map(StreamName::as_str)
            .collect();
        if !others.is_empty() {
            let others = others.join(",");
            let message = format!(
                "the position file {} has streams that this command does not read: {others}",
                self.path.display()
            );
            return Err(CliError::failure(message)
                .tip("read these streams as well, or name another file with --position"));
        }
        Ok(Some(content.position))
    }

    /// Replaces the file atomically: after a crash it has either the old or the new position.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&self, position: &MergePosition) -> Result<(), CliError> {
        self.replace(position).map_err(|error| {
            CliError::failure(format!(
                "cannot write the position file {}: {error}",
                self.path.display()
            ))
        })
    }

    fn replace(&self, position: &MergePosition) -> io::Result<()> {
        let content = Content {
            namespace: self.namespace.clone(),
            store: self.store.map(|store| store.to_string()),
            position: position.clone(),
        };
        let content = serde_json::to_vec(&content)?;
        replace_file(&self.path, ".dlog-position-", &content, None)
    }

    fn foreign(&self, why: &str) -> CliError {
        CliError::failure(format!(
            "{} is not the position of a merged reader: {why}",
            self.path.display()
        ))
        .tip("name another file with --position, or remove this file to start at --from")
    }
}
