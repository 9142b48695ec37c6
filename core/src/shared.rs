use core::cell::RefCell;

/// State that handles and their runner hold together: a mutex on a server, a cell in a browser page
/// or on a device.
///
/// The closure runs to its end without awaiting and must not come back to the same state.
pub trait Shared: Clone {
    /// What is shared.
    type State: ?Sized;

    /// Runs `work` on the state while nobody else does.
    fn with<R>(&self, work: impl FnOnce(&mut Self::State) -> R) -> R;
}

impl<T: ?Sized> Shared for &RefCell<T> {
    type State = T;

    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.borrow_mut())
    }
}

/// For one thread with a heap, such as a page's: the page's crate could not implement it, neither
/// type being its own.
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
        // A panic of one caller is a bug of ours in that call; it must not take its neighbours'
        // records along.
        work(
            &mut self
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}
