//! A consumer of several streams: each record once, also across a restart in the middle.
//!
//! ```sh
//! cargo run -p distributedlog-examples --bin merged_reader
//! ```

use distributedlog::Dlsn;
use distributedlog_examples::{Error, Local};
use distributedlog_reader::{MergePosition, MergeSettings, MultiReader, ReadEvent};
use distributedlog_store::StreamName;
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

    // From the beginning of each stream.
    let mut starts = Vec::new();
    for stream in STREAMS {
        starts.push((StreamName::new(stream)?, Dlsn::INITIAL));
    }
    let mut reader = MultiReader::new(&local.store, starts, MergeSettings::default());
    let saved = consume(&mut reader, RECORDS / 2).await?;
    drop(reader);

    // After a restart: the saved position knows what was delivered.
    let position: MergePosition = serde_json::from_str(&saved)?;
    let mut reader = MultiReader::resume(&local.store, &position, MergeSettings::default());
    consume(&mut reader, RECORDS - RECORDS / 2).await?;
    drop(reader);
    local.stop().await
}

/// Takes `count` records and returns the position behind them, as an application would save it:
/// together with the effects of the records.
async fn consume(reader: &mut MultiReader, count: usize) -> Result<String, Error> {
    let mut taken = 0;
    while taken < count {
        let Some(event) = reader.next().await else {
            break;
        };
        // A stream that cannot be read is reported here; the others are read on.
        let merged = event?;
        match merged.event {
            ReadEvent::Record(record) => {
                let text = String::from_utf8_lossy(&record.payload);
                println!("{} {}: {text}", merged.stream, record.dlsn);
                taken += 1;
            }
            ReadEvent::Malformed(set) => eprintln!("{}: {set}", merged.stream),
        }
    }
    Ok(serde_json::to_string(&reader.position())?)
}
