//! Writes through the multi stream writer, the proxy client and a session, without an operating
//! system. For bare metal the program is linked, not run: a call of an allocator, of the standard
//! library or of a missing atomic would be an undefined symbol. On a host it runs and checks that
//! the record's position comes back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::hint::black_box;

use distributedlog::client::routing::{self, Client, Operation, StreamKey, Submission};
use distributedlog::client::session::{self, Event, Session};
use distributedlog::wire::service::Reply;
use distributedlog::writer::{Fixed, Settings, StreamCount, Writer};
use distributedlog::{Dlsn, Instant};

/// Four streams and two sets of 1 KiB: what fits a small device.
type DeviceStorage = Fixed<4, 2, 16, 1024>;

/// Takes the whole path through core: record in, frame out, reply in, position out.
fn write_one_record(frame: &mut [u8], answer: &[u8]) -> Option<Dlsn> {
    let now = Instant::from_millis(1);
    let settings = Settings::builder()
        .original_features()
        .in_flight_sets(2)
        .pending_records(16)
        .buffer_size(512)
        .seed(7)
        .build()
        .ok()?;
    let mut writer = Writer::new(settings, StreamCount::new(4).ok()?, DeviceStorage::new()).ok()?;
    let record = writer.write(now, b"message").ok()?;
    writer.flush();
    let attempt = writer.poll_transmit(now)?;

    let mut client: Client<2, 4, 4> = Client::new(routing::Settings::builder().build().ok()?, 7);
    client
        .submit(
            now,
            Submission::to_stream(Operation::WriteRecordSet, StreamKey::of("stream-1")),
        )
        .ok()?;
    black_box(client.poll_action());

    let mut session: Session<4> = Session::new(
        now,
        session::Settings::builder()
            .client_id("device")
            .build()
            .ok()?,
        7,
    );
    black_box(session.poll_transmit(frame));
    if let Ok((
        _,
        Some(Event::Reply {
            reply: Reply::Write(response),
            ..
        }),
    )) = session.handle_received(now, answer)
    {
        black_box(&response);
    }

    let id = attempt.id;
    writer.handle_finished(now, id, Ok(Dlsn::INITIAL));
    writer.take(record)?.ok().map(|written| written.dlsn)
}

#[cfg(not(target_os = "none"))]
fn main() {
    let mut frame = [0; 4096];
    assert_eq!(write_one_record(&mut frame, &[]), Some(Dlsn::INITIAL));
    println!("ok");
}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut frame = [0; 4096];
    black_box(write_one_record(&mut frame, black_box(&[])));
    #[expect(clippy::empty_loop, reason = "there is nothing to return to")]
    loop {}
}

distributedlog_bare::stops_on_panic!();
