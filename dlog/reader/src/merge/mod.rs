//! Merging of several streams, so that each record is delivered once (R12).

#[cfg(feature = "store")]
mod input;
mod merger;
#[cfg(feature = "store")]
mod multi_reader;
#[cfg(feature = "store")]
mod position;

pub use distributedlog::merge::MergeSettings;
pub use merger::MergeCounters;
pub(crate) use merger::{MergeInput, Merger, Taken};
#[cfg(feature = "store")]
pub use multi_reader::{
    MergedEvent, MergedRun, MultiReader, RunEvent, StreamError, StreamErrorKind,
};
#[cfg(feature = "store")]
pub use position::{MergePosition, MergePositionError};

#[cfg(all(test, feature = "store"))]
mod tests;
