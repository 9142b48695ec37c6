//! The Stellaris Ethernet controller of the LM3S6965, as an embassy-net driver.

use core::task::{Context, Waker};

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::waitqueue::GenericAtomicWaker;

/// Maximum length of a frame, without its checksum.
const FRAME_BYTES: usize = 1514;

static RECEIVED: GenericAtomicWaker<CriticalSectionRawMutex> =
    GenericAtomicWaker::new(CriticalSectionRawMutex::new());

/// The controller's registers, by their offsets.
#[derive(Clone, Copy)]
#[repr(usize)]
enum Register {
    /// Pending interrupts; a write acknowledges them.
    Status = 0x00,
    InterruptMask = 0x04,
    ReceiveControl = 0x08,
    TransmitControl = 0x0c,
    Data = 0x10,
    Address0 = 0x14,
    Address1 = 0x18,
    Threshold = 0x1c,
    /// Number of received frames.
    Frames = 0x34,
    TransmitRequest = 0x38,
}

impl Register {
    const BASE: usize = 0x4004_8000;

    fn read(self) -> u32 {
        // SAFETY: a register of the controller; the offsets are the data sheet's.
        unsafe {
            core::ptr::with_exposed_provenance::<u32>(Self::BASE + self as usize).read_volatile()
        }
    }

    fn write(self, value: u32) {
        // SAFETY: as above.
        unsafe {
            core::ptr::with_exposed_provenance_mut::<u32>(Self::BASE + self as usize)
                .write_volatile(value)
        }
    }
}

/// Interrupt of a received frame: bit 0 of the status and of the mask.
const RECEIVE_INTERRUPT: u32 = 1;

#[derive(Clone, Copy)]
struct EthernetInterrupt;

// SAFETY: the number is the data sheet's.
unsafe impl InterruptNumber for EthernetInterrupt {
    fn number(self) -> u16 {
        42
    }
}

/// The machine's network card.
pub struct Nic {
    address: [u8; 6],
}

impl Nic {
    /// Enables the controller.
    pub fn start(address: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = address;
        Register::Address0.write(u32::from_le_bytes([a, b, c, d]));
        Register::Address1.write(u32::from_le_bytes([e, f, 0, 0]));
        // Send a frame when it is complete, not when a part of it is there.
        Register::Threshold.write(0x3f);
        // Enable the transmitter with padding and checksums, then the receiver.
        Register::TransmitControl.write(0b111);
        Register::ReceiveControl.write(0b1);
        Register::InterruptMask.write(RECEIVE_INTERRUPT);
        // SAFETY: the handler is defined, and no code relies on the interrupt being masked.
        unsafe { NVIC::unmask(EthernetInterrupt) };
        Self { address }
    }
}

/// Handles every interrupt; only the controller's is enabled.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(number: i16) {
    assert_eq!(
        number,
        EthernetInterrupt.number().cast_signed(),
        "no other interrupt was enabled"
    );
    Register::Status.write(RECEIVE_INTERRUPT);
    RECEIVED.wake();
}

impl Driver for Nic {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Incoming, Outgoing)> {
        wake_when_received(cx.waker());
        (Register::Frames.read() & 0x3f > 0).then_some((Incoming, Outgoing))
    }

    /// Always returns a token: a frame is sent as soon as it is written, so that there is always
    /// room.
    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Outgoing> {
        Some(Outgoing)
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

fn wake_when_received(waker: &Waker) {
    RECEIVED.register(waker);
}

/// A received frame in the controller.
pub struct Incoming;

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        let mut frame = [0; FRAME_BYTES];
        // The length comes first, in two bytes. It includes these two bytes and the checksum behind
        // the frame.
        let first = Register::Data.read().to_le_bytes();
        let total = usize::from(u16::from_le_bytes([first[0], first[1]]));
        let len = total.saturating_sub(6);
        let mut put = |at: usize, byte: u8| {
            // Discard the checksum and what does not fit.
            if let Some(target) = frame.get_mut(at).filter(|_| at < len) {
                *target = byte;
            }
        };
        put(0, first[2]);
        put(1, first[3]);
        for word in 1..total.div_ceil(4) {
            for (index, byte) in Register::Data.read().to_le_bytes().into_iter().enumerate() {
                put(word * 4 - 2 + index, byte);
            }
        }
        read(&mut frame[..len.min(FRAME_BYTES)])
    }
}

/// Room for one frame.
pub struct Outgoing;

impl TxToken for Outgoing {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        // Before the frame, the controller expects the length of its payload, without the 14 bytes
        // of the frame's header.
        let mut bytes = [0; 2 + FRAME_BYTES];
        let result = fill(&mut bytes[2..2 + len]);
        let payload = u16::try_from(len.saturating_sub(14)).unwrap_or_default();
        bytes[..2].copy_from_slice(&payload.to_le_bytes());
        for word in bytes[..2 + len].chunks(4) {
            let mut padded = [0; 4];
            padded[..word.len()].copy_from_slice(word);
            Register::Data.write(u32::from_le_bytes(padded));
        }
        Register::TransmitRequest.write(1);
        result
    }
}
