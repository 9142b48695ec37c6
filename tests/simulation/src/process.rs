//! Simulated process: a runtime of its own, whose clock advances one millisecond for each turn.

use core::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, advance, sleep};

/// Simulated process. Dropping it is `kill -9`: its tasks do not run again.
#[derive(Debug)]
pub(crate) struct Process {
    runtime: Runtime,
    began: Instant,
    /// Age in milliseconds.
    lived: u64,
}

impl Process {
    /// Starts a process that runs `main`. Nothing runs before its first turn.
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

    /// Runs the process for one millisecond: every task that is ready runs.
    pub(crate) fn turn(&mut self) {
        self.runtime
            .block_on(async { sleep(Duration::from_millis(1)).await });
        self.lived += 1;
        debug_assert_eq!(
            self.age(),
            Duration::from_millis(self.lived),
            "the clock advances only by turns and stalls"
        );
    }

    /// Advances the clock after a stall of `millis` milliseconds, in which no task ran.
    pub(crate) fn advance_clock(&mut self, millis: u64) {
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
