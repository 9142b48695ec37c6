//! What stands in for a store and its disk.

mod memory;
pub mod readable;
mod sim_disk;

pub use memory::{MAX_ENTRY_BYTES, MemoryStore};
pub use sim_disk::{SECTOR_BYTES, SimDisk};
