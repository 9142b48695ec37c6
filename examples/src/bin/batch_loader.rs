//! A loader: many records in flight, acknowledged in the order in which they were submitted.
//!
//! ```sh
//! cargo run --release -p distributedlog-examples --bin batch_loader
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use distributedlog::writer::WriteResult;
use distributedlog_examples::{Error, Local};
use distributedlog_tokio::{Acknowledgement, MultiStreamWriter};

const STREAMS: [&str; 3] = ["events-1", "events-2", "events-3"];
const RECORDS: usize = 100_000;
/// Acknowledgements that are held at once. Any number may be: each takes memory until it is
/// awaited, and errors show sooner with fewer.
const IN_FLIGHT: usize = 8192;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let local = Local::start(&STREAMS).await?;
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(local.name())
        .buffer_size(256 << 10)
        .build()
        .await?;

    let began = Instant::now();
    let mut in_flight = VecDeque::with_capacity(IN_FLIGHT);
    let (mut written, mut failed) = (0, 0);
    for number in 0..RECORDS {
        if in_flight.len() == IN_FLIGHT {
            let oldest: Acknowledgement = in_flight.pop_front().expect("it is full");
            count(oldest.await, &mut written, &mut failed);
        }
        in_flight.push_back(writer.submit(format!("event {number}").as_bytes()).await?);
    }
    // What is left in the last buffers is sent now, not when they are full or their time is up.
    writer.flush().await;
    for acknowledgement in in_flight {
        count(acknowledgement.await, &mut written, &mut failed);
    }

    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{written} written, {failed} failed, {:.0} records/s",
        RECORDS as f64 / seconds
    );
    writer.close().await;
    local.stop().await
}

fn count(result: WriteResult, written: &mut usize, failed: &mut usize) {
    match result {
        Ok(_) => *written += 1,
        Err(error) => {
            eprintln!("{error}");
            *failed += 1;
        }
    }
}
