use super::waiters::{Wakers, wake_all};
use super::{State, WaiterSlots};
use crate::writer::{Storage, WriterFeatures};
use crate::{Clock, Shared};

/// Names the four parameters of a [`State`], so that handles and futures have one: what they share.
pub trait Inner {
    type Storage: Storage;
    type Slots: WaiterSlots;
    /// The clock that stamps records.
    type Time: Clock + Clone;
    type Features: WriterFeatures;

    fn state(&mut self) -> &mut StateOf<Self>;
}

/// The state that `T` is.
pub(super) type StateOf<T> =
    State<<T as Inner>::Storage, <T as Inner>::Slots, <T as Inner>::Time, <T as Inner>::Features>;

/// Runs `work` on the state, and calls the wakers that it collected once the state is free again:
/// a waker may poll its task at once, and the task may use the state.
pub(super) fn with_wakers<S: Shared<State: Inner>, R>(
    shared: &S,
    work: impl FnOnce(&mut StateOf<S::State>, &mut Wakers) -> R,
) -> R {
    let mut wakers = Wakers::new();
    let result = shared.with(|inner| work(inner.state(), &mut wakers));
    wake_all(&mut wakers);
    result
}
