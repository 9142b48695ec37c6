//! The wire formats against the original's bytes, against themselves, and against bytes of no
//! format at all.

mod failure_domain;
mod generate;
mod golden_files;
mod golden_frames;
mod golden_structs;
mod golden_vectors;
mod hostile;
mod malformed;
mod malformed_values;
mod meaning;
#[cfg(feature = "lz4")]
mod original_reader;
mod round_trips;
