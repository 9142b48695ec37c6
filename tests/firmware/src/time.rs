//! Time: a free-running counter, and a tick that checks the timers.
//!
//! The counter is the host's, read by semihosting. Counting interrupts would lose time while the
//! host does not run the machine, because missed interrupts merge into one. The tick may be late or
//! missed; it only compares timers with the counter.

use core::cell::RefCell;
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_semihosting::nr;
use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// About a millisecond in cycles of the processor's clock.
const TICK_CYCLES: u32 = 12_500;

struct HostTime {
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static TIME: HostTime = HostTime {
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for HostTime {
    fn now(&self) -> u64 {
        elapsed_ns() / 1000
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // No need to check if this is the earliest timer: every tick checks all of them.
        critical_section::with(|token| self.queue.borrow_ref_mut(token).schedule_wake(at, waker));
    }
}

/// Returns the nanoseconds since the start of the machine.
fn elapsed_ns() -> u64 {
    let mut halves = [0_u32; 2];
    let address = (&raw mut halves).expose_provenance();
    // SAFETY: the host writes two words at this address (SYS_ELAPSED).
    unsafe { cortex_m_semihosting::syscall1(nr::ELAPSED, address) };
    let [low, high] = halves;
    u64::from(high) << 32 | u64::from(low)
}

/// Starts the tick.
pub fn start(mut systick: SYST) {
    systick.set_clock_source(SystClkSource::Core);
    systick.set_reload(TICK_CYCLES);
    systick.clear_current();
    systick.enable_counter();
    systick.enable_interrupt();
}

#[cortex_m_rt::exception]
fn SysTick() {
    let now = TIME.now();
    // Wakes the tasks whose timers are due. A later tick finds the next ones.
    critical_section::with(|token| TIME.queue.borrow_ref_mut(token).next_expiration(now));
}
