//! Links the device of one proxy, with everything that it does: its flash is what the budget is about. On a host it runs for one record.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use distributedlog::Instant;
use distributedlog_bare::one_proxy::Device;

/// Does whatever `what` says, so that a linker keeps all of it.
fn step(device: &mut Device, what: u8, now: Instant, bytes: &[u8], out: &mut [u8]) -> bool {
    match what {
        0 => device.write(now, bytes).is_ok(),
        1 => {
            device.flush();
            true
        }
        2 => device.poll_transmit(now, out) > 0,
        3 => device.handle_received(now, bytes).is_ok(),
        4 => device.handle_timeout(now).is_ok(),
        5 => {
            device.handle_transmitted(now, bytes.len());
            true
        }
        6 => device.next_result().is_some_and(|(_, result)| result.is_ok()),
        7 => {
            device.handle_lost(now);
            true
        }
        8 => device.poll_timeout().is_some(),
        _ => {
            device.close(now, now);
            true
        }
    }
}

const NAMES: [&str; 4] = ["stream-1", "stream-2", "stream-3", "stream-4"];

#[cfg(not(target_os = "none"))]
fn main() {
    let (now, mut out) = (Instant::from_millis(1), [0; 2048]);
    let mut device = Device::new(now, &NAMES);
    assert!(step(&mut device, black_box(0), now, b"message", &mut out) && step(&mut device, 2, now, &[], &mut out));
    println!("ok");
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut out = [0; 2048];
    let mut device = Device::new(black_box(Instant::ZERO), &NAMES);
    loop {
        let now = black_box(Instant::from_millis(1));
        black_box(step(&mut device, black_box(0), now, black_box(&[]), black_box(&mut out)));
    }
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[expect(clippy::empty_loop, reason = "there is nowhere to report to")]
    loop {}
}
