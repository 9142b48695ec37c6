//! The rules of the multi stream writer, one canonical test each, as scripts of (time, event) and
//! the expected actions; and its simulation over many seeds.

mod batching;
mod bounds;
mod changes;
mod choice;
mod completion;
mod contents;
mod domains;
mod ending;
mod faults_of_the_original;
mod hedging;
mod members;
mod order;
mod pauses;
mod policies;
mod retrying;
mod rotation;
mod silence;
mod simulation;
mod windows;

use core::time::Duration;

use distributedlog::writer::{Settings, SettingsBuilder};

/// Settings with one record in each set, sent at once; hedges after 50, 100, 200, 200 ms; failure
/// after 1 s.
fn single() -> SettingsBuilder {
    Settings::builder()
        .original_features()
        .buffer_size(0)
        .request_timeout(ms(1_000))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
