//! Maps whose keys clients choose, on the path of each write.

/// A map with a random key of its own, so that nobody can choose names that collide, and a hash
/// that takes a fraction of the standard one's time.
pub type KeyedMap<K, V> = std::collections::HashMap<K, V, ahash::RandomState>;
