//! A consumer that counts orders by product. It crashes at any moment, and each order counts once:
//! the counts and the position behind them are one file, which is replaced as a whole.
//!
//! ```sh
//! cargo run -p distributedlog-examples --bin exactly_once
//! ```

use core::num::NonZeroUsize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use distributedlog_examples::{Error, Local};
use distributedlog_reader::{HttpSource, MultiStreamReader, ReaderPosition};
use distributedlog_tokio::MultiStreamWriter;
use serde::{Deserialize, Serialize};

const STREAMS: [&str; 3] = ["orders-1", "orders-2", "orders-3"];
const PRODUCTS: [&str; 3] = ["apples", "pears", "plums"];
const ORDERS: usize = 99;

/// What the application commits: its data, and the position behind the records that are in it. With
/// a database these are rows that one transaction changes.
#[derive(Default, Serialize, Deserialize)]
struct State {
    counts: BTreeMap<String, u64>,
    position: Option<ReaderPosition>,
}

impl State {
    fn load(path: &Path) -> Result<Self, Error> {
        match fs::read(path) {
            Ok(json) => Ok(serde_json::from_slice(&json)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the file: after a crash it has either the old state or the new one.
    fn commit(&self, path: &Path) -> Result<(), Error> {
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(new, path)?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let local = Local::start(&STREAMS).await?;
    let writer = MultiStreamWriter::builder(STREAMS)
        .proxies(local.name())
        .build()
        .await?;
    for number in 0..ORDERS {
        writer.write(PRODUCTS[number % 3].as_bytes()).await?;
    }
    writer.close().await;

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("counts.json");
    let mut crashes = 0;
    while !run(&local.url(), &path, crashes).await? {
        crashes += 1;
    }
    println!("{crashes} crashes");
    for (product, count) in State::load(&path)?.counts {
        println!("{product}: {count}");
    }
    local.stop().await
}

/// The application: starts where it stopped, and commits after each batch. Returns false if it
/// crashed, and true when all orders are counted.
async fn run(url: &str, path: &Path, crashes: usize) -> Result<bool, Error> {
    let mut state = State::load(path)?;
    let mut reader = MultiStreamReader::builder(HttpSource::new([url]))
        .streams(STREAMS)
        .position(state.position.take())
        .follow(false)
        .build()?;
    let most = NonZeroUsize::new(10).expect("not zero");
    let mut batches = 0;
    while let Some(batch) = reader.next_batch(most).await? {
        for merged in &batch.records {
            let product = String::from_utf8_lossy(&merged.record.payload).into_owned();
            *state.counts.entry(product).or_default() += 1;
        }
        // The power fails: what was counted since the last commit is lost, and read again.
        batches += 1;
        if crashes < 5 && batches > crashes % 2 {
            return Ok(false);
        }
        state.position = Some(batch.position);
        state.commit(path)?;
    }
    Ok(true)
}
