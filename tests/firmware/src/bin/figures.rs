//! Measures what a device of one proxy with all of the writer's rules needs, on the device: its
//! RAM, and the stack of each of its calls.
//!
//! Prints one `NAME BYTES` a line by semihosting, then `trace.SEED NUMBER` of [`trace::of_life`],
//! and exits. The stack is painted before each call; what the call wrote to is what it took.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_semihosting::{debug, hprintln};
use distributedlog::client::routing::Client;
use distributedlog::client::session::Session;
use distributedlog::wire::mux::{
    Frame, INIT_CHECK, InitHeaders, Message, Tag, VERSION, encode_reply,
};
use distributedlog::wire::service::{Reply, ResponseHeader, SequenceId, WriteResponse};
use distributedlog::writer::{AllFeatures, Writer, ram_bytes};
use distributedlog::{Dlsn, Instant, StatusCode};
use distributedlog_bare::one_proxy::{
    Device, DeviceStorage, RECORDS, REQUESTS, SET_BYTES, SETS, STREAMS,
};
use distributedlog_bare::trace;
use static_cell::StaticCell;

/// So much of the stack is painted: more than any call takes.
const PAINTED_WORDS: usize = 2048;
/// Right below the frame that paints is what the painting itself calls.
const MARGIN: usize = 64;
const PAINT: u32 = 0xc0de_cafe;

/// The bytes of stack that the work takes, its closure's own frame and [`MARGIN`] included.
#[inline(never)]
fn stack_of(work: &mut dyn FnMut()) -> usize {
    let here = cortex_m::register::msp::read() as usize;
    let top = (here & !7) - MARGIN;
    let bottom = top - PAINTED_WORDS * 4;
    for address in (bottom..top).step_by(4) {
        // SAFETY: the stack is larger by far than what is painted, and below this frame nothing is
        // alive.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) };
    }
    work();
    // SAFETY: as above.
    let is_paint = |address: &usize| unsafe { core::ptr::with_exposed_provenance::<u32>(*address).read_volatile() } == PAINT;
    let untouched = (bottom..top).step_by(4).take_while(is_paint).count() * 4;
    assert!(untouched > 0, "more was taken than was painted");
    here - bottom - untouched
}

/// What one call took at most.
struct Most(usize);

impl Most {
    fn run(&mut self, mut work: impl FnMut()) {
        self.0 = self.0.max(stack_of(&mut work));
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static DEVICE: StaticCell<Device<AllFeatures>> = StaticCell::new();
    let device = DEVICE.init_with(|| {
        Device::new(
            Instant::ZERO,
            &["stream-1", "stream-2", "stream-3", "stream-4"],
        )
    });
    hprintln!("ram.writer {}", size_of::<Writer<DeviceStorage>>());
    hprintln!("ram.session {}", size_of::<Session<REQUESTS>>());
    hprintln!("ram.device {}", size_of::<Device<AllFeatures>>());
    // A device with more than one proxy has this beside a session for each.
    hprintln!("ram.routing {}", size_of::<Client<2, STREAMS, REQUESTS>>());
    hprintln!(
        "ram.computed {}",
        ram_bytes(STREAMS, SETS, RECORDS, SET_BYTES, 0)
    );

    let [
        mut write,
        mut transmit,
        mut receive,
        mut timeout,
        mut result,
    ] = [const { Most(0) }; 5];
    let mut out = [0; 2048];
    let mut greet = |device: &mut Device<AllFeatures>, answer: Message<'_>| {
        while device.poll_transmit(Instant::ZERO, &mut out) > 0 {}
        let mut bytes = [0; 64];
        let count = Frame::new(Tag::ONE, answer)
            .encode(&mut bytes)
            .expect("a short frame");
        device
            .handle_received(Instant::ZERO, &bytes[..count])
            .expect("a frame that belongs there");
    };
    greet(device, Message::Rerr { error: INIT_CHECK });
    greet(
        device,
        Message::Rinit {
            version: VERSION,
            headers: InitHeaders::default(),
        },
    );

    let mut out = [0; 2048];
    for round in 1..=20_u64 {
        let now = Instant::from_millis(round * 1000);
        let record = [7; 200];
        for _ in 0..3 {
            write.run(|| assert!(device.write(now, &record).is_ok(), "there is room"));
        }
        device.flush();
        let mut sent = 0;
        transmit.run(|| sent = device.poll_transmit(now, &mut out));
        // Every third set is hedged: its first attempt is not answered before the time is out.
        let later = Instant::from_millis(round * 1000 + 500);
        timeout.run(|| assert!(device.handle_timeout(later).is_ok(), "the peer is patient"));
        transmit.run(|| sent += device.poll_transmit(later, &mut out));
        while sent > 0 {
            sent = device.poll_transmit(later, &mut out);
        }
        // Two attempts at most are under way: tags 2 and up.
        for tag in 2..2 + REQUESTS as u32 {
            let mut bytes = [0; 256];
            let header = ResponseHeader {
                code: StatusCode::Success,
                message: None,
                location: None,
            };
            let text = Dlsn::new(1, round as i64, 0).to_text();
            let reply = Reply::Write(WriteResponse {
                header,
                dlsn: Some(text.as_str()),
            });
            let tag = Tag::new(tag).expect("a small number");
            let count = encode_reply(tag, "writeWithContext", SequenceId(0), &reply, &mut bytes)
                .expect("a short frame");
            // The session refuses answers to what was not asked.
            receive.run(|| {
                let _ = black_box(device.handle_received(later, &bytes[..count]));
            });
        }
        result.run(|| while device.next_result().is_some() {});
    }
    for (name, most) in [
        ("write", write),
        ("transmit", transmit),
        ("receive", receive),
        ("timeout", timeout),
        ("result", result),
    ] {
        hprintln!("stack.{} {}", name, most.0);
    }
    for seed in trace::SEEDS {
        hprintln!("trace.{:x} {:016x}", seed, trace::of_life(seed));
    }
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::nop();
    }
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    hprintln!("{}", panic);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::nop();
    }
}
