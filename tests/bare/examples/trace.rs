//! [`trace::of_life`](distributedlog_bare::trace::of_life) as a function of a WebAssembly module,
//! for a program there to call.

/// The number of the life that a seed makes up.
#[unsafe(no_mangle)]
pub extern "C" fn of_life(seed: u64) -> u64 {
    distributedlog_bare::trace::of_life(seed)
}
