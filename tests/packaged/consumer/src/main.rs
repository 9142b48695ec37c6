//! A consumer that commits records and the position behind them in one transaction: one line of a
//! file. It may be killed at any time, and the file has each record once.
//!
//! ```text
//! consumer FILE TOKEN URL[,URL] STREAM...
//! ```

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use distributedlog_reader::{HttpSource, MultiStreamReader, ReaderPosition, RecordBatch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, token, urls, streams @ ..] = &arguments[..] else {
        return Err("usage: consumer FILE TOKEN URL[,URL] STREAM...".into());
    };
    let (mut ledger, saved) = Ledger::open(file)?;
    let position = saved
        .map(|json| ReaderPosition::from_json(&json))
        .transpose()?;
    let mut reader = MultiStreamReader::builder(HttpSource::new(urls.split(',')).token(token))
        .streams(streams.iter().cloned())
        .position(position)
        .on_fault(|fault| eprintln!("{fault}"))
        .build()?;
    let most = NonZeroUsize::new(20).expect("not zero");
    while let Some(batch) = reader.next_batch(most).await? {
        ledger.commit(&batch)?;
    }
    Ok(())
}

/// A file of transactions, one a line: the position, and the records before it. A line that does
/// not end was not committed.
struct Ledger(File);

impl Ledger {
    /// Opens the file, removes a line that does not end, and returns the position of the last one.
    /// The file is locked: two consumers at once would both apply a record.
    fn open(path: &str) -> io::Result<(Self, Option<String>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        file.lock()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let end = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        file.set_len(end as u64)?;
        let last = text[..end]
            .trim_ascii_end()
            .rsplit(|byte| *byte == b'\n')
            .next();
        let position = last
            .and_then(|line| line.split(|byte| *byte == b'\t').next())
            .filter(|position| !position.is_empty())
            .map(|position| String::from_utf8_lossy(position).into_owned());
        Ok((Self(file), position))
    }

    fn commit(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let mut line = batch.position.to_json().into_bytes();
        for record in &batch.records {
            line.push(b'\t');
            line.extend_from_slice(&record.record.payload);
        }
        line.push(b'\n');
        // In two writes, each of which takes a while, so that a kill often leaves half of it.
        let (first, second) = line.split_at(line.len() / 2);
        self.0.write_all(first)?;
        self.0.sync_data()?;
        self.0.write_all(second)?;
        self.0.sync_data()
    }
}
