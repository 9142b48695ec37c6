use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use crate::{Random, VirtualClock};

/// Runs async code on one thread under a [`VirtualClock`]. Ready tasks run in an order drawn from
/// the seed; if none is ready, the clock advances to the next timer. The same seed gives the same
/// run.
pub struct Executor {
    clock: VirtualClock,
    random: Random,
    tasks: Vec<Option<Task>>,
    ready: Arc<Ready>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

/// Identifies a spawned task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId(usize);

#[derive(Default)]
struct Ready(Mutex<Vec<usize>>);

struct TaskWaker {
    task: usize,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self
            .ready
            .0
            .lock()
            .expect("no thread panics while it holds the lock");
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

/// Index of the future that [`Executor::run`] drives.
const MAIN: usize = usize::MAX;

impl Executor {
    /// Creates an executor with a clock of its own.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            clock: VirtualClock::new(),
            random: Random::new(seed),
            tasks: Vec::new(),
            ready: Arc::default(),
        }
    }

    /// Returns the executor's clock.
    #[must_use]
    pub fn clock(&self) -> VirtualClock {
        self.clock.clone()
    }

    /// Adds a task. It runs during [`run`](Self::run) and [`settle`](Self::settle).
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> TaskId {
        let task = self.tasks.len();
        let waker = self.waker(task);
        waker.wake_by_ref();
        self.tasks.push(Some(Task {
            future: Box::pin(future),
            waker,
        }));
        TaskId(task)
    }

    /// Drops a task, finished or not. Returns `true` if it was unfinished.
    pub fn cancel(&mut self, task: TaskId) -> bool {
        self.tasks[task.0].take().is_some()
    }

    /// Returns `true` if the task has finished or was cancelled.
    #[must_use]
    pub fn is_finished(&self, task: TaskId) -> bool {
        self.tasks[task.0].is_none()
    }

    /// Runs all tasks until `future` is ready, and advances the clock as needed.
    ///
    /// # Panics
    ///
    /// If `future` can never become ready, because no task is ready and no timer is set.
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = core::pin::pin!(future);
        let waker = self.waker(MAIN);
        waker.wake_by_ref();
        loop {
            match self.pick() {
                Some(MAIN) => {
                    if let Poll::Ready(output) =
                        future.as_mut().poll(&mut Context::from_waker(&waker))
                    {
                        return output;
                    }
                }
                Some(task) => self.poll(task),
                None => {
                    let next = self.clock.next_timer().expect(
                        "a task is ready or a timer is set, or the test would wait for ever",
                    );
                    self.clock.advance(next);
                }
            }
        }
    }

    /// Runs ready tasks until none is ready, without advancing the clock.
    pub fn settle(&mut self) {
        while let Some(task) = self.pick() {
            self.poll(task);
        }
    }

    fn poll(&mut self, task: usize) {
        let Some(slot) = self.tasks.get_mut(task) else {
            return;
        };
        let Some(Task { future, waker }) = slot else {
            return;
        };
        let done = future
            .as_mut()
            .poll(&mut Context::from_waker(waker))
            .is_ready();
        if done {
            *slot = None;
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let mut ready = self
            .ready
            .0
            .lock()
            .expect("no thread panics while it holds the lock");
        if ready.is_empty() {
            return None;
        }
        let index = self.random.below(ready.len() as u64) as usize;
        Some(ready.swap_remove(index))
    }

    fn waker(&self, task: usize) -> Waker {
        Arc::new(TaskWaker {
            task,
            ready: Arc::clone(&self.ready),
        })
        .into()
    }
}

impl core::fmt::Debug for Executor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Executor")
            .field("clock", &self.clock)
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}
