//! Parts that the programs share: the one around the device of one proxy, and the panic handler.

/// Defines a program that links the device of one proxy with these
/// [`WriterFeatures`](distributedlog::writer::WriterFeatures) and this set of
/// [protocols](distributedlog::client::session). On a host it runs for one record.
#[macro_export]
macro_rules! one_proxy_program {
    ($features:ty, $scope:ty) => {
        use core::hint::black_box;

        use distributedlog::Instant;
        use distributedlog_bare::one_proxy::{Device, step};

        const NAMES: [&str; 4] = ["stream-1", "stream-2", "stream-3", "stream-4"];

        #[cfg(not(target_os = "none"))]
        fn main() {
            let (now, mut out) = (Instant::from_millis(1), [0; 2048]);
            let mut device = Device::<$features, $scope>::new(now, &NAMES);
            assert!(
                step(&mut device, black_box(0), now, b"message", &mut out)
                    && step(&mut device, 2, now, &[], &mut out)
            );
            println!("ok");
        }

        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn _start() -> ! {
            let mut out = [0; 2048];
            let mut device = Device::<$features, $scope>::new(black_box(Instant::ZERO), &NAMES);
            loop {
                let now = black_box(Instant::from_millis(1));
                black_box(step(
                    &mut device,
                    black_box(0),
                    now,
                    black_box(&[]),
                    black_box(&mut out),
                ));
            }
        }

        $crate::stops_on_panic!();
    };
}

/// Defines a panic handler that stops, for programs without an operating system.
#[macro_export]
macro_rules! stops_on_panic {
    () => {
        #[cfg(target_os = "none")]
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
            #[expect(clippy::empty_loop, reason = "there is nowhere to report to")]
            loop {}
        }
    };
}
