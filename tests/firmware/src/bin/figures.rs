//! Measures on the device what a device of one proxy with all of the writer's rules needs: its RAM,
//! and the stack of each of its calls.
//!
//! Prints one `NAME BYTES` a line by semihosting, then `trace.SEED NUMBER` of [`trace::of_life`],
//! and exits. The stack is filled with a pattern before each call; the part that the call overwrote
//! is what it needed.
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

/// Words of the stack that are filled: more than any call needs.
const PAINTED_WORDS: usize = 2048;
/// Bytes below the frame that fills the stack, which its own calls use.
const MARGIN: usize = 64;
const PAINT: u32 = 0xc0de_cafe;

/// Returns the bytes of stack that `work` needs, its closure's own frame and [`MARGIN`] included.
#[inline(never)]
fn stack_of(work: &mut dyn FnMut()) -> usize {
    let here = cortex_m::register::msp::read() as usize;
    let top = (here & !7) - MARGIN;
    let bottom = top - PAINTED_WORDS * 4;
    for address in (bottom..top).step_by(4) {
        // SAFETY: the stack is much larger than the filled part, and no frame below this one is
        // alive.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) };
    }
    work();
    // SAFETY: as above.
    let read =
        |address| unsafe { core::ptr::with_exposed_provenance::<u32>(address).read_volatile() };
    let is_paint = |address: &usize| read(*address) == PAINT;
    let untouched = (bottom..top).step_by(4).take_while(is_paint).count() * 4;
    assert!(untouched > 0, "the call needs more stack than is filled");
    here - bottom - untouched
}

/// Maximum stack of one call, in bytes.
struct MaxStack(usize);

impl MaxStack {
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

    shake_hands(device);
    measure_calls(device);
    for seed in trace::SEEDS {
        hprintln!("trace.{:x} {:016x}", seed, trace::of_life(seed));
    }
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::nop();
    }
}

/// Opens the session: answers the device's two messages of the handshake.
fn shake_hands(device: &mut Device<AllFeatures>) {
    let mut out = [0; 2048];
    let mut answer_with = |device: &mut Device<AllFeatures>, message: Message<'_>| {
        while device.poll_transmit(Instant::ZERO, &mut out) > 0 {}
        let mut bytes = [0; 64];
        let count = Frame::new(Tag::ONE, message)
            .encode(&mut bytes)
            .expect("a short frame");
        device
            .handle_received(Instant::ZERO, &bytes[..count])
            .expect("a frame that belongs there");
    };
    answer_with(device, Message::Rerr { error: INIT_CHECK });
    answer_with(
        device,
        Message::Rinit {
            version: VERSION,
            headers: InitHeaders::default(),
        },
    );
}

/// Measures each call over 20 rounds, and prints the maxima.
fn measure_calls(device: &mut Device<AllFeatures>) {
    let [
        mut write,
        mut transmit,
        mut receive,
        mut timeout,
        mut result,
    ] = [const { MaxStack(0) }; 5];
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
        // Sets are hedged: no attempt is answered before the speculative timeout passes.
        let later = Instant::from_millis(round * 1000 + 500);
        timeout.run(|| assert!(device.handle_timeout(later).is_ok(), "the peer is patient"));
        transmit.run(|| sent += device.poll_transmit(later, &mut out));
        while sent > 0 {
            sent = device.poll_transmit(later, &mut out);
        }
        // At most two attempts are outstanding: tags 2 and up.
        for tag in 2..2 + REQUESTS as u32 {
            let mut bytes = [0; 256];
            let count = encode_success(tag, Dlsn::new(1, round as i64, 0), &mut bytes);
            // The session refuses replies to requests that were not made.
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
}

/// Writes the reply of a successful write, and returns its length.
fn encode_success(tag: u32, dlsn: Dlsn, out: &mut [u8]) -> usize {
    let text = dlsn.to_text();
    let header = ResponseHeader {
        code: StatusCode::Success,
        message: None,
        location: None,
    };
    let reply = Reply::Write(WriteResponse {
        header,
        dlsn: Some(text.as_str()),
    });
    let tag = Tag::new(tag).expect("a small number");
    encode_reply(tag, "writeWithContext", SequenceId(0), &reply, out).expect("a short frame")
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    hprintln!("{}", panic);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::nop();
    }
}
