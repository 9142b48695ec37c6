//! Budgets of bytes that peers can make a server hold.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// A budget and the parts of it that peers have, by their addresses: all connections of one address
/// share a part, so that one peer leaves room for others.
#[derive(Debug)]
pub struct PeerBudgets {
    all: ByteBudget,
    share: usize,
    /// The parts that are in use. Others may remain until as many again have come.
    parts: Mutex<PeerParts>,
}

#[derive(Debug, Default)]
struct PeerParts {
    by_address: BTreeMap<IpAddr, Weak<Room>>,
    /// Number of parts at which those that are not in use are removed.
    clean_at: usize,
}

/// Number of parts below which those that are not in use stay.
const MIN_PARTS: usize = 64;

impl PeerBudgets {
    /// Returns a budget of `limit` bytes, of which each peer may hold `share`.
    #[must_use]
    pub fn new(limit: usize, share: usize) -> Self {
        Self {
            all: ByteBudget::new(limit),
            share,
            parts: Mutex::default(),
        }
    }

    /// Returns the budget of all peers.
    #[must_use]
    pub const fn all(&self) -> &ByteBudget {
        &self.all
    }

    /// Returns the part of the peer with this address.
    #[must_use]
    pub fn of(&self, peer: IpAddr) -> ByteBudget {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = parts.by_address.get(&peer).and_then(Weak::upgrade) {
            let whole = Some(Arc::clone(&self.all.own));
            return ByteBudget { own, whole };
        }
        if parts.by_address.len() >= parts.clean_at {
            parts.by_address.retain(|_, part| part.strong_count() > 0);
            parts.clean_at = (2 * parts.by_address.len()).max(MIN_PARTS);
        }
        let part = self.all.part(self.share);
        parts.by_address.insert(peer, Arc::downgrade(&part.own));
        part
    }
}

/// Room for something that grows as it comes, such as a frame.
///
/// Of all that grow in one budget and find no room, one may go beyond it: otherwise several that
/// are half complete could wait for each other.
#[derive(Debug)]
pub struct GrowingRoom {
    budget: ByteBudget,
    /// One permit, for the one that goes beyond the budget.
    overdraft: Arc<Semaphore>,
    taken: Option<Reservation>,
    beyond: Option<OwnedSemaphorePermit>,
}

/// Room that was waited for.
#[derive(Debug)]
pub struct MoreRoom(Result<Reservation, OwnedSemaphorePermit>);

impl GrowingRoom {
    /// Returns room in a budget. All who share the budget share `overdraft`, which has one permit.
    #[must_use]
    pub const fn new(budget: ByteBudget, overdraft: Arc<Semaphore>) -> Self {
        Self {
            budget,
            overdraft,
            taken: None,
            beyond: None,
        }
    }

    /// Takes room for `bytes` in all if it is free now, and returns `None`. Otherwise returns the
    /// number of bytes to [wait](Self::wait) for.
    #[must_use]
    pub fn try_grow_to(&mut self, bytes: usize) -> Option<usize> {
        if self.beyond.is_some() {
            return None;
        }
        let have = self.taken.as_ref().map_or(0, Reservation::bytes);
        let more = bytes.saturating_sub(have);
        if more == 0 {
            return None;
        }
        // More than the budget has is never free: `reserve` would count it as less.
        if have + more > self.budget.limit() {
            return Some(more);
        }
        let Some(room) = self.budget.try_reserve(more) else {
            return Some(more);
        };
        self.add(MoreRoom(Ok(room)));
        None
    }

    /// Waits for `more` bytes, to be [added](Self::add).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing.
    pub fn wait(&self, more: usize) -> impl Future<Output = MoreRoom> + Send + use<> {
        let (budget, overdraft) = (self.budget.clone(), Arc::clone(&self.overdraft));
        let have = self.taken.as_ref().map_or(0, Reservation::bytes);
        let fits = have + more <= budget.limit();
        async move {
            tokio::select! {
                biased;
                room = budget.reserve(more), if fits => MoreRoom(Ok(room)),
                permit = overdraft.acquire_owned() => {
                    MoreRoom(Err(permit.expect("the semaphore is never closed")))
                }
            }
        }
    }

    /// Adds room that was waited for.
    pub fn add(&mut self, room: MoreRoom) {
        match (room.0, &mut self.taken) {
            (Ok(more), Some(taken)) => taken.merge(more),
            (Ok(more), none) => *none = Some(more),
            (Err(permit), _) => self.beyond = Some(permit),
        }
    }

    /// Frees the room.
    pub fn clear(&mut self) {
        self.taken = None;
        self.beyond = None;
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

    #[tokio::test]
    async fn connections_of_one_address_share_a_part() {
        let budgets = PeerBudgets::new(100, 50);
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let held = budgets.of(address(1)).reserve(50).await;
        assert!(budgets.of(address(1)).is_spent());
        assert_eq!(budgets.of(address(2)).held(), 0);
        drop(held);
        assert!(!budgets.of(address(1)).is_spent());
        for last in 0..=255 {
            let _ = budgets.of(address(last));
        }
        let parts = budgets.parts.lock().expect("not poisoned");
        assert!(parts.by_address.len() <= MIN_PARTS, "those in use are none");
    }

    #[tokio::test]
    async fn of_those_that_wait_for_each_other_one_goes_on() {
        let (budget, overdraft) = (ByteBudget::new(100), Arc::new(Semaphore::new(1)));
        let room = || GrowingRoom::new(budget.clone(), Arc::clone(&overdraft));
        let (mut one, mut other) = (room(), room());
        assert_eq!(one.try_grow_to(50), None);
        assert_eq!(other.try_grow_to(50), None);
        assert_eq!(one.try_grow_to(80), Some(30));
        let more = one.wait(30).await;
        one.add(more);
        assert_eq!(one.try_grow_to(1000), None, "it goes beyond the budget");
        let mut waits = core::pin::pin!(other.wait(30));
        let early = core::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(early, waits.as_mut()).await.is_err());
        one.clear();
        let more = waits.await;
        other.add(more);
        assert_eq!(other.try_grow_to(80), None);
    }
}
