//! Speculative timeouts that follow the latency (R10).

/// The recent latencies of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sketch {}

impl Sketch {
    pub(crate) const EMPTY: Self = Self {};
}
