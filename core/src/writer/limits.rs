//! The limits of everything that a writer keeps, in one place.

/// Maximum number of streams of a writer: each set stores the streams that it tried in four words
/// of 64 bits.
pub const MAX_STREAMS: usize = 256;

/// Maximum number of attempts of one set that may be outstanding at a time. While the limit is
/// reached the set is not hedged further; a retry takes the place of the attempt that failed.
pub const MAX_OUTSTANDING: usize = 8;

pub(crate) use crate::wire::record_set::{HEADER_BYTES, LENGTH_BYTES, TRAILER_BYTES};

pub(crate) const MAX_IN_FLIGHT_SETS: usize = 65_000;
pub(crate) const MAX_PENDING_RECORDS: usize = 1 << 31;
pub(crate) const MIN_BUFFERED_BYTES: usize = 64;

// A set slot is identified by 16 bits, of which one value means none. Two slots are never in
// flight: the filling one and the one for compression.
const _: () = assert!(MAX_IN_FLIGHT_SETS + 2 < u16::MAX as usize);
const _: () = assert!(MAX_PENDING_RECORDS < u32::MAX as usize);
const _: () = assert!(MIN_BUFFERED_BYTES > HEADER_BYTES + LENGTH_BYTES + TRAILER_BYTES);
