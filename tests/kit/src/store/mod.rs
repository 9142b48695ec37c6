//! Replacements of a store and its disk for tests, and a conformance suite for stores.

pub mod conformance;
mod memory;
mod sim_disk;
mod wrapper;

pub use memory::{MAX_ENTRY_BYTES, MemoryStore, PUT_UNIX_MS, ReleaseOrder, plain};
pub use sim_disk::{SECTOR_BYTES, SimDisk};
pub use wrapper::{StoreWrapper, Wrapped};
