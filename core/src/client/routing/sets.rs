use crate::tables::Bits;

/// The most hosts that a client can know at once.
pub const MAX_HOSTS: usize = 128;

/// Set of hosts, by index.
pub(crate) type HostSet = Bits<{ MAX_HOSTS / 32 }>;
