//! Buffers for the data of requests: recycled, so that a running client does not allocate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum size of the pool; buffers beyond it are freed.
const MAX_POOLED_BYTES: usize = 32 * 1024 * 1024;

/// The pool of a driver, shared with the tasks that fill buffers for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedPool(Arc<Mutex<Pool>>);

impl SharedPool {
    /// Returns an empty buffer, the one that was given back last.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.lock().take()
    }

    /// Returns a buffer with a copy of these bytes.
    pub(crate) fn copy(&self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.take();
        buffer.extend_from_slice(bytes);
        buffer
    }

    /// Keeps a buffer's memory for the next taker.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        self.lock().give(buffer);
    }

    /// Frees the memory of all buffers that are in the pool.
    pub(crate) fn free(&self) {
        *self.lock() = Pool::default();
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Pool {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// An empty buffer, the one that was given back last: its memory is likely in the processor's
    /// cache.
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps a buffer's memory for the next taker.
    fn give(&mut self, mut buffer: Vec<u8>) {
        if self.bytes + buffer.capacity() <= MAX_POOLED_BYTES && buffer.capacity() > 0 {
            buffer.clear();
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_with_its_memory() {
        let mut pool = Pool::default();
        pool.give(vec![7; 1_000]);
        let again = pool.take();
        assert!(again.is_empty() && again.capacity() >= 1_000);
        assert_eq!((pool.bytes, pool.take().capacity()), (0, 0));
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_bound() {
        let mut pool = Pool::default();
        for _ in 0..3 {
            pool.give(Vec::with_capacity(MAX_POOLED_BYTES / 2));
        }
        assert_eq!((pool.buffers.len(), pool.bytes), (2, MAX_POOLED_BYTES));
    }
}
