//! Budgets of bytes that peers can make a server hold.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Number of bytes that may be held for one purpose: by all peers of a server, and, as a
/// [part](Self::part) of that, by one of them. Cheap to clone; the clones share the bytes.
///
/// Those who wait for room get it in the order in which they came.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    own: Arc<Room>,
    /// Budget that this one is a part of.
    whole: Option<Arc<Room>>,
}

#[derive(Debug)]
struct Room {
    limit: usize,
    /// One permit for each byte that is free.
    free: Semaphore,
}

impl Room {
    /// Makes room of at most `u32::MAX` bytes, which is what can be reserved at once.
    fn new(limit: usize) -> Arc<Self> {
        let limit = limit.min(u32::MAX as usize);
        Arc::new(Self {
            limit,
            free: Semaphore::new(limit),
        })
    }

    /// Waits for `bytes`, or for all of the room if that is less.
    async fn take(self: &Arc<Self>, bytes: usize) -> TakenRoom {
        let bytes = bytes.min(self.limit);
        let count = u32::try_from(bytes).expect("a limit is at most u32::MAX");
        let permit = self.free.acquire_many(count).await;
        permit.expect("the semaphore is never closed").forget();
        self.taken(bytes)
    }

    fn try_take(self: &Arc<Self>, bytes: usize) -> Option<TakenRoom> {
        let bytes = bytes.min(self.limit);
        let count = u32::try_from(bytes).expect("a limit is at most u32::MAX");
        self.free.try_acquire_many(count).ok()?.forget();
        Some(self.taken(bytes))
    }

    /// Takes what is free of `bytes`.
    fn take_free(self: &Arc<Self>, bytes: usize) -> TakenRoom {
        let taken = self.free.forget_permits(bytes);
        self.taken(taken)
    }

    fn taken(self: &Arc<Self>, bytes: usize) -> TakenRoom {
        TakenRoom {
            room: Arc::clone(self),
            bytes,
        }
    }
}

/// Bytes of a room, which are free again when the value is dropped.
#[derive(Debug)]
struct TakenRoom {
    room: Arc<Room>,
    bytes: usize,
}

impl TakenRoom {
    /// Frees all bytes but these.
    fn shrink_to(&mut self, bytes: usize) {
        let freed = self.bytes.saturating_sub(bytes);
        self.bytes -= freed;
        self.room.free.add_permits(freed);
    }
}

impl Drop for TakenRoom {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Bytes of a [`ByteBudget`] that are held. They are free again when the value is dropped.
#[derive(Debug)]
pub struct Reservation {
    own: TakenRoom,
    whole: Option<TakenRoom>,
}

impl ByteBudget {
    /// Returns a budget of this many bytes; at most 4 GiB count.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            own: Room::new(limit),
            whole: None,
        }
    }

    /// Returns a part of this budget for one peer: what is reserved of it counts here too. A part
    /// of a part is a part of the same whole.
    #[must_use]
    pub fn part(&self, limit: usize) -> Self {
        let whole = self.whole.as_ref().unwrap_or(&self.own);
        Self {
            own: Room::new(limit.min(whole.limit)),
            whole: Some(Arc::clone(whole)),
        }
    }

    /// Returns the limit in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.own.limit
    }

    /// Returns the number of bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.own.limit - self.own.free.available_permits()
    }

    /// Returns true if nothing is free, here or in the whole.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let spent = |room: &Room| room.free.available_permits() == 0;
        spent(&self.own) || self.whole.as_deref().is_some_and(spent)
    }

    /// Waits until `bytes` are free, and reserves them. More than the limit counts as the limit.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future reserves nothing.
    pub async fn reserve(&self, bytes: usize) -> Reservation {
        let own = self.own.take(bytes).await;
        let whole = match &self.whole {
            Some(whole) => Some(whole.take(own.bytes).await),
            None => None,
        };
        Reservation { own, whole }
    }

    /// Reserves `bytes` if they are free now. More than the limit counts as the limit.
    #[must_use]
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let own = self.own.try_take(bytes)?;
        let whole = match &self.whole {
            Some(whole) => Some(whole.try_take(own.bytes)?),
            None => None,
        };
        Some(Reservation { own, whole })
    }

    /// Reserves what is free of `bytes`: for what is held in any case, and little.
    #[must_use]
    pub fn reserve_free(&self, bytes: usize) -> Reservation {
        Reservation {
            own: self.own.take_free(bytes),
            whole: self.whole.as_ref().map(|whole| whole.take_free(bytes)),
        }
    }

    /// Waits until nothing of this budget is held.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn all_free(&self) {
        drop(self.own.take(self.own.limit).await);
    }
}

impl Reservation {
    /// Returns the number of bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.own.bytes
    }

    /// Frees all bytes but these; does nothing if there are not more.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.own.shrink_to(bytes);
        if let Some(whole) = &mut self.whole {
            whole.shrink_to(bytes);
        }
    }

    /// Adds another reservation of the same budget.
    ///
    /// # Panics
    ///
    /// In debug builds, if it is one of another budget.
    pub fn merge(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.own.room, &other.own.room), "one budget");
        self.own.bytes += core::mem::take(&mut other.own.bytes);
        if let (Some(whole), Some(more)) = (&mut self.whole, &mut other.whole) {
            whole.bytes += core::mem::take(&mut more.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_takes_of_the_whole_and_gives_back() {
        let all = ByteBudget::new(100);
        let (one, other) = (all.part(80), all.part(80));
        let mut held = one.reserve(60).await;
        assert_eq!((one.held(), other.held(), all.held()), (60, 0, 60));
        assert!(other.try_reserve(50).is_none(), "the whole has 40");
        assert_eq!(other.held(), 0, "a refusal leaves nothing");
        held.merge(one.try_reserve(20).expect("the part has 20"));
        assert!(one.is_spent() && !other.is_spent());
        held.shrink_to(10);
        assert_eq!((held.bytes(), all.held()), (10, 10));
        drop(held);
        assert_eq!((one.held(), all.held()), (0, 0));
        one.all_free().await;
    }

    #[tokio::test]
    async fn more_than_the_limit_counts_as_the_limit() {
        let all = ByteBudget::new(100);
        let part = all.part(10);
        assert_eq!(part.reserve(1000).await.bytes(), 10);
        assert_eq!(all.held(), 0);
    }

    #[tokio::test]
    async fn what_is_held_in_any_case_takes_what_is_free() {
        let all = ByteBudget::new(10);
        let (one, other) = (all.part(10), all.part(10));
        let held = one.reserve_free(7);
        let more = other.reserve_free(7);
        assert_eq!((held.bytes(), more.bytes(), all.held()), (7, 7, 10));
        assert!(other.is_spent());
        drop(held);
        assert_eq!(all.held(), 3);
        drop(more);
        assert_eq!((other.held(), all.held()), (0, 0));
    }

    #[tokio::test]
    async fn a_wait_that_is_dropped_reserves_nothing() {
        let all = ByteBudget::new(10);
        let held = all.reserve(10).await;
        let waits = tokio::spawn({
            let part = all.part(10);
            async move { drop(part.reserve(5).await) }
        });
        tokio::task::yield_now().await;
        waits.abort();
        assert!(waits.await.is_err());
        drop(held);
        assert_eq!(all.held(), 0);
    }
}
