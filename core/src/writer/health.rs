//! What is remembered of each stream (R9).

/// What is remembered of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamHealth {}

impl StreamHealth {
    pub(crate) const NEW: Self = Self {};
}
