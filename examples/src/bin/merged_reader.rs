//! A consumer of several streams: each record once, also across a restart in the middle.
//!
//! ```sh
//! cargo run -p distributedlog-examples --bin merged_reader
//! ```

use distributedlog_examples::{Error, Local};
use distributedlog_reader::{HttpSource, MultiStreamReader, ReaderPosition};
use distributedlog_tokio::MultiStreamWriter;

const STREAMS: [&str; 3] = ["clicks-1", "clicks-2", "clicks-3"];
const RECORDS: usize = 10;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let local = Local::start(&STREAMS).await?;
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(local.name())
        .build()
        .await?;
    for number in 0..RECORDS {
        writer.write(format!("click {number}").as_bytes()).await?;
    }
    writer.close().await;

    // From the beginning of each stream. A store is read in the same way: the builder takes an
    // `Arc<dyn LogStore>` too.
    let proxy = HttpSource::new([local.url()]);
    let mut reader = MultiStreamReader::builder(proxy.clone())
        .streams(STREAMS)
        .build()?;
    let saved = consume(&mut reader, RECORDS / 2).await?;
    drop(reader);

    // After a restart: the saved position knows what was delivered. Without `follow` the reader
    // ends behind the last record.
    let mut reader = MultiStreamReader::builder(proxy)
        .position(ReaderPosition::from_json(&saved)?)
        .follow(false)
        .build()?;
    consume(&mut reader, usize::MAX).await?;
    drop(reader);
    local.stop().await
}

/// Takes up to `count` records and returns the position behind them, as an application would save
/// it: together with the effects of the records.
async fn consume(reader: &mut MultiStreamReader, count: usize) -> Result<String, Error> {
    for _ in 0..count {
        let Some(merged) = reader.next().await.transpose()? else {
            break;
        };
        let text = String::from_utf8_lossy(&merged.record.payload);
        println!("{} {}: {text}", merged.stream, merged.record.dlsn);
    }
    Ok(reader.position().to_json())
}
