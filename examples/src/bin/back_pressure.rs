//! Three answers to a writer that is full: wait, refuse, or reserve room before making the record.
//!
//! ```sh
//! cargo run -p distributedlog-examples --bin back_pressure
//! ```

use core::time::Duration;

use distributedlog::writer::EnqueueError;
use distributedlog_examples::{Error, Local};
use distributedlog_tokio::MultiStreamWriter;

const STREAMS: [&str; 2] = ["samples-1", "samples-2"];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let local = Local::start(&STREAMS).await?;
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(local.name())
        .build()
        .await?;

    // Wait: the task goes on when there is room. A timeout bounds the wait and the write together;
    // a write that it ends before there was room was not accepted.
    let waited = tokio::time::timeout(Duration::from_secs(5), writer.write(b"waits")).await??;
    println!("waited: {}", waited.dlsn);

    // Refuse: for what loses its worth by waiting. The record stays with the caller.
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for number in 0..200_000 {
        match writer.try_write(format!("sample {number}").as_bytes()) {
            Ok(acknowledgement) => accepted.push(acknowledgement),
            Err(EnqueueError::Full) => refused += 1,
            Err(error) => return Err(error.into()),
        }
    }
    println!("at once: {} accepted, {refused} refused", accepted.len());
    for acknowledgement in accepted {
        acknowledgement.await?;
    }

    // Reserve: for what is taken from a queue only when it is certain to be accepted.
    let permit = writer.reserve(64).await?;
    let reserved = permit.submit(b"taken from a queue")?.await?;
    println!("reserved: {}", reserved.dlsn);

    writer.close().await;
    local.stop().await
}
