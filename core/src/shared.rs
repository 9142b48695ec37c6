use core::cell::RefCell;

/// Shared access to the state of handles and their runner: a mutex on a server, a cell in a browser
/// page or on a device.
///
/// The closure runs to its end without awaiting, and must not access the same state through another
/// handle.
pub trait Shared: Clone {
    /// The shared state.
    type State: ?Sized;

    /// Runs `work` with exclusive access to the state.
    fn with<R>(&self, work: impl FnOnce(&mut Self::State) -> R) -> R;
}

impl<T: ?Sized> Shared for &RefCell<T> {
    type State = T;

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.borrow_mut())
    }
}

/// For one thread with a heap, such as a browser page. It is here because the crate of the page
/// owns neither of the two types and could not implement it.
#[cfg(feature = "std")]
impl<T: ?Sized> Shared for std::rc::Rc<RefCell<T>> {
    type State = T;

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.borrow_mut())
    }
}

#[cfg(feature = "std")]
impl<T: ?Sized> Shared for std::sync::Arc<std::sync::Mutex<T>> {
    type State = T;

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // The mutex is poisoned if a call panicked, which is a bug of ours in that call. The
        // records of the other tasks must not be lost with it.
        work(
            &mut self
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}
