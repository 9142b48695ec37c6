//! One process: everything that it has running, on a runtime of its own, whose clock goes a
//! millisecond at a time when it is told to.

use core::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, advance, sleep};

/// A process. Dropping it is what `kill -9` is to a real one: nothing in it runs any more.
#[derive(Debug)]
pub(crate) struct Process {
    runtime: Runtime,
    began: Instant,
    /// How many milliseconds it has lived.
    lived: u64,
}

impl Process {
    /// A process that does `main`. Nothing runs before its first turn.
    pub(crate) fn start(main: impl Future<Output = ()> + Send + 'static) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O needs nothing");
        let began = {
            let _inside = runtime.enter();
            Instant::now()
        };
        runtime.spawn(main);
        Self {
            runtime,
            began,
            lived: 0,
        }
    }

    /// Lets it live for a millisecond: whatever can run does.
    pub(crate) fn turn(&mut self) {
        self.runtime
            .block_on(async { sleep(Duration::from_millis(1)).await });
        self.lived += 1;
        debug_assert_eq!(
            self.age(),
            Duration::from_millis(self.lived),
            "its clock goes as it is told"
        );
    }

    /// It was asleep for so long, and finds that its clock has gone on.
    pub(crate) fn oversleep(&mut self, millis: u64) {
        if millis > 0 {
            self.runtime
                .block_on(async { advance(Duration::from_millis(millis)).await });
            self.lived += millis;
        }
    }

    fn age(&self) -> Duration {
        let _inside = self.runtime.enter();
        self.began.elapsed()
    }
}
