//! Names of a writer's streams, which come and go while it runs (R17).

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use distributedlog::StreamIndex;
use distributedlog::client::routing::StreamKey;
use distributedlog::stream_name::{self, StreamNameError};
use distributedlog::writer::MemberError;

/// Reason for which a writer's streams cannot be changed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamChangeError {
    /// The name is not valid.
    StreamName {
        /// Name as it was given.
        name: Box<str>,
        /// Error in the name.
        error: StreamNameError,
    },
    /// The writer writes to this stream already.
    Present {
        /// Name of the stream.
        name: Box<str>,
    },
    /// The writer does not write to this stream.
    Absent {
        /// Name of the stream.
        name: Box<str>,
    },
    /// It is the writer's only stream.
    OnlyStream {
        /// Name of the stream.
        name: Box<str>,
    },
    /// The writer has 256 streams, and attempts are outstanding at all that were removed.
    Full {
        /// Name of the stream.
        name: Box<str>,
    },
}

impl StreamChangeError {
    pub(super) fn of(error: MemberError, name: &str) -> Self {
        let name = name.into();
        match error {
            MemberError::OnlyStream => Self::OnlyStream { name },
            MemberError::Full { .. } => Self::Full { name },
            // What a later version adds cannot be meant for this name either.
            MemberError::NotMember | _ => Self::Absent { name },
        }
    }
}

impl fmt::Display for StreamChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StreamName { name, error } => write!(f, "log stream name {name:?}: {error}"),
            Self::Present { name } => write!(f, "the writer writes to log stream {name} already"),
            Self::Absent { name } => write!(f, "the writer does not write to log stream {name}"),
            Self::OnlyStream { name } => write!(
                f,
                "log stream {name} is the writer's only one: add another before it is removed"
            ),
            Self::Full { name } => write!(
                f,
                "log stream {name} cannot be added: the writer has 256 streams already"
            ),
        }
    }
}

distributedlog::debug_is_display!(StreamChangeError);

impl core::error::Error for StreamChangeError {}

/// Names of the streams of one writer by index, those of removed streams included, shared between
/// its handles and its transport.
#[derive(Clone, Debug)]
pub(crate) struct StreamNames {
    names: Arc<Mutex<Vec<StreamEntry>>>,
    /// Held while the streams are changed, so that no name is added twice. Never taken while the
    /// writer's state is locked.
    changes: Arc<Mutex<()>>,
}

#[derive(Clone, Debug)]
struct StreamEntry {
    name: Arc<str>,
    key: StreamKey,
    is_member: bool,
}

impl StreamNames {
    /// Checks the names.
    ///
    /// # Errors
    ///
    /// The first name that is not valid, and its error.
    pub(crate) fn new<S: AsRef<str>>(names: &[S]) -> Result<Self, (String, StreamNameError)> {
        let entry = |name: &S| {
            let name = name.as_ref();
            let checked = stream_name::validate(name).map_err(|error| (name.to_owned(), error))?;
            Ok(StreamEntry::new(checked))
        };
        let names = names.iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Self {
            names: Arc::new(Mutex::new(names)),
            changes: Arc::default(),
        })
    }

    /// Returns the name of a stream and its key. `None` if the index was never used.
    pub(crate) fn get(&self, stream: StreamIndex) -> Option<(Arc<str>, StreamKey)> {
        let names = self.lock();
        let entry = names.get(usize::from(stream.0))?;
        Some((Arc::clone(&entry.name), entry.key))
    }

    /// Returns the keys of all streams.
    pub(crate) fn keys(&self) -> Vec<StreamKey> {
        self.lock().iter().map(|entry| entry.key).collect()
    }

    /// Returns the names of the streams that were not removed.
    pub(super) fn members(&self) -> Vec<Arc<str>> {
        let names = self.lock();
        let members = names.iter().filter(|entry| entry.is_member);
        members.map(|entry| Arc::clone(&entry.name)).collect()
    }

    /// Returns the index of a stream that was not removed.
    pub(super) fn find(&self, name: &str) -> Option<StreamIndex> {
        let names = self.lock();
        let index = names
            .iter()
            .position(|entry| entry.is_member && *entry.name == *name);
        index.map(|index| StreamIndex(index as u16))
    }

    /// Adds a name: `add` adds the stream to the writer, and calls what it is given with the index.
    ///
    /// # Errors
    ///
    /// [`StreamChangeError`].
    pub(super) fn add(
        &self,
        name: &str,
        add: impl FnOnce(&dyn Fn(StreamIndex)) -> Result<StreamIndex, MemberError>,
    ) -> Result<StreamIndex, StreamChangeError> {
        let name = stream_name::validate(name).map_err(|error| StreamChangeError::StreamName {
            name: name.into(),
            error,
        })?;
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.find(name).is_some() {
            return Err(StreamChangeError::Present { name: name.into() });
        }
        let register = |index: StreamIndex| {
            let (mut names, index) = (self.lock(), usize::from(index.0));
            match names.get_mut(index) {
                Some(entry) => *entry = StreamEntry::new(name),
                None => names.push(StreamEntry::new(name)),
            }
        };
        add(&register).map_err(|error| StreamChangeError::of(error, name))
    }

    /// Removes a name: `remove` removes the stream from the writer.
    ///
    /// # Errors
    ///
    /// [`StreamChangeError`].
    pub(super) fn remove(
        &self,
        name: &str,
        remove: impl FnOnce(StreamIndex) -> Result<(), MemberError>,
    ) -> Result<StreamIndex, StreamChangeError> {
        let _changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self
            .find(name)
            .ok_or_else(|| StreamChangeError::Absent { name: name.into() })?;
        remove(index).map_err(|error| StreamChangeError::of(error, name))?;
        self.lock()[usize::from(index.0)].is_member = false;
        Ok(index)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<StreamEntry>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamEntry {
    fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            key: StreamKey::of(name),
            is_member: true,
        }
    }
}
