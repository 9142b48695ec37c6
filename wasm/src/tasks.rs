//! Tasks in JavaScript's microtask queue.
//!
//! `wasm-bindgen-futures` does the same, and takes 0.8 KB more of a page, because it also looks for
//! the queue in every kind of environment and turns futures into promises.

use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Waker};
use std::boxed::Box;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Wake;
use std::vec::Vec;

use wasm_bindgen::prelude::*;

use crate::host::queue_microtask;

thread_local! {
    static TASKS: RefCell<Tasks> = const { RefCell::new(Tasks::new()) };
    /// The callback that JavaScript queues. Never dropped: a queued one must be there.
    static RUN: Closure<dyn FnMut()> = Closure::new(run);
}

type BoxedFuture = Pin<Box<dyn Future<Output = ()>>>;

/// One task. `future` is `None` while it is polled.
struct Task {
    future: Option<BoxedFuture>,
    waker: Waker,
    /// True while it is in the queue of ready tasks.
    ready: bool,
}

/// All tasks of this thread. Bounded by what spawns them: a task for each record that a writer
/// holds, and one for its runner and for each flush, close and wait for room.
struct Tasks {
    slots: Vec<Option<Task>>,
    free: Vec<usize>,
    ready: VecDeque<usize>,
    /// True while `run` is queued or runs.
    scheduled: bool,
}

impl Tasks {
    const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            scheduled: false,
        }
    }

    /// Marks a task as ready. Returns `true` if `run` has to be queued for it.
    fn wake(&mut self, place: usize) -> bool {
        // A waker can outlive its task, and its place may have another one: that is polled in vain.
        if let Some(task) = self.slots[place].as_mut().filter(|task| !task.ready) {
            task.ready = true;
            self.ready.push_back(place);
        }
        !core::mem::replace(&mut self.scheduled, true)
    }

    /// Takes the next ready task's future out of its place.
    fn next(&mut self) -> Option<(usize, BoxedFuture, Waker)> {
        // Bounded: each iteration takes an entry of the queue.
        while let Some(place) = self.ready.pop_front() {
            if let Some(task) = &mut self.slots[place] {
                task.ready = false;
                if let Some(future) = task.future.take() {
                    return Some((place, future, task.waker.clone()));
                }
            }
        }
        self.scheduled = false;
        None
    }
}

/// Wakes the task at a place.
struct TaskWaker(usize);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if TASKS.with_borrow_mut(|tasks| tasks.wake(self.0)) {
            schedule();
        }
    }
}

fn schedule() {
    RUN.with(queue_microtask);
}

/// Runs a future in the microtask queue. It is first polled in a later microtask.
pub(crate) fn spawn_local(future: impl Future<Output = ()> + 'static) {
    let has_to_be_queued = TASKS.with_borrow_mut(|tasks| {
        let place = tasks.free.pop().unwrap_or_else(|| {
            tasks.slots.push(None);
            tasks.slots.len() - 1
        });
        tasks.slots[place] = Some(Task {
            future: Some(Box::pin(future)),
            waker: Arc::new(TaskWaker(place)).into(),
            ready: false,
        });
        tasks.wake(place)
    });
    if has_to_be_queued {
        schedule();
    }
}

/// Polls ready tasks until there are none. The tasks are not borrowed meanwhile, because a poll may
/// spawn and wake others.
fn run() {
    // Unbounded, as the microtask queue is: it too ends only once nothing queues more.
    while let Some((place, mut future, waker)) = TASKS.with_borrow_mut(Tasks::next) {
        let ended = future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        if ended {
            drop(future);
            TASKS.with_borrow_mut(|tasks| {
                tasks.slots[place] = None;
                tasks.free.push(place);
            });
        } else {
            TASKS.with_borrow_mut(|tasks| {
                if let Some(task) = &mut tasks.slots[place] {
                    task.future = Some(future);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks_with(count: usize) -> Tasks {
        let mut tasks = Tasks::new();
        for place in 0..count {
            tasks.slots.push(Some(Task {
                future: Some(Box::pin(core::future::pending())),
                waker: Arc::new(TaskWaker(place)).into(),
                ready: false,
            }));
        }
        tasks
    }

    #[test]
    fn ready_tasks_run_in_the_order_of_their_wakes_and_once_for_several() {
        let mut tasks = tasks_with(3);
        assert!(tasks.wake(2), "the first wake queues the run");
        assert!(!tasks.wake(0) && !tasks.wake(2));
        assert_eq!(tasks.next().map(|(place, ..)| place), Some(2));
        assert_eq!(tasks.next().map(|(place, ..)| place), Some(0));
        assert!(tasks.next().is_none());
        assert!(tasks.wake(1), "the run is over");
    }

    #[test]
    fn a_wake_of_a_task_that_has_ended_does_nothing() {
        let mut tasks = tasks_with(2);
        tasks.slots[1] = None;
        tasks.wake(1);
        assert!(tasks.next().is_none());
    }

    #[test]
    fn a_task_that_is_woken_while_it_is_polled_runs_again() {
        let mut tasks = tasks_with(1);
        tasks.wake(0);
        let (place, future, _) = tasks.next().expect("it is ready");
        assert!(!tasks.wake(0));
        tasks.slots[place].as_mut().expect("it is there").future = Some(future);
        assert_eq!(tasks.next().map(|(place, ..)| place), Some(0));
    }
}
