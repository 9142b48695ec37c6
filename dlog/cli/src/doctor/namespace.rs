use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use distributedlog::Dlsn;
use distributedlog_store::uri::Uri;
use distributedlog_store::{
    Acquired, Entry, EntryRecord, LogStore, Owner, ReadLimit, StoreError, StreamName,
};
use tokio::sync::oneshot;

use super::super::CliError;
use super::super::clock::unix_ms;
use super::super::namespace::{self, uri_error};
use super::super::output::counted;
use super::findings::{Findings, since};
use super::{MAX_SKEW, Probe};

/// Checks a namespace: names, connection, streams, and a record that is written and read back.
///
/// # Errors
/// The output cannot be written.
pub(super) async fn check(
    uri: &Uri,
    probe: &Probe,
    found: &mut Findings<'_>,
) -> Result<(), CliError> {
    for host in uri.hosts() {
        super::resolve(&host.host, host.port, found).await?;
    }
    let began = Instant::now();
    let store = match namespace::connect(uri).await {
        Ok(store) => store,
        Err(error) => return found.error(&format!("no store at {uri}"), &error),
    };
    found.ok(&format!("connected to {uri} in {}", since(began)))?;
    match store.list().await {
        Ok(streams) => found.ok(&counted(streams.len() as u64, "stream"))?,
        Err(error) => found.error("cannot list the streams", &uri_error(&error, uri))?,
    }
    if !probe.writes {
        return Ok(());
    }
    let result = write_and_read(&*store, &probe.stream, found).await;
    // Also after a failure halfway.
    let deleted = store.delete(&probe.stream).await;
    match (result, deleted) {
        (Ok(printed), Ok(()) | Err(StoreError::StreamNotFound(_))) => printed,
        (Ok(printed), Err(error)) => {
            printed?;
            found.warn(
                &format!("the stream {} could not be deleted: {error}", probe.stream),
                &format!("dlog tool delete -u {uri} -e {}", probe.stream),
            )
        }
        (Err(error), _) => found.error(
            "cannot write a record and read it back",
            &uri_error(&error, uri),
        ),
    }
}

/// Writes a record to the stream and reads it. The outer result is the store's, the inner one the
/// output's.
async fn write_and_read(
    store: &dyn LogStore,
    stream: &StreamName,
    found: &mut Findings<'_>,
) -> Result<Result<(), CliError>, StoreError> {
    const PAYLOAD: &[u8] = b"dlog doctor";
    store.create(stream).await?;
    let owner = Owner {
        shard: -1,
        address: format!("doctor-{}", std::process::id()),
    };
    let Acquired::Granted(lease) = store.acquire(stream, &owner).await? else {
        return Err(StoreError::Fenced(stream.clone()));
    };
    let began = Instant::now();
    let (done, result) = oneshot::channel();
    let record = EntryRecord {
        payload: Bytes::from_static(PAYLOAD),
        slots: 1,
        is_record_set: false,
    };
    let entry = Entry {
        records: vec![record],
    };
    store.append(
        &lease,
        entry,
        Box::new(move |result| drop(done.send(result))),
    );
    // The store calls back once, whatever happens.
    result.await.unwrap_or(Err(StoreError::Closed))?;
    let (took, now) = (since(began), unix_ms());
    let began = Instant::now();
    let limit = ReadLimit {
        max_bytes: 1 << 16,
        wait: Duration::from_secs(5),
        created_unix_ms: None,
    };
    let batch = store.read(stream, Dlsn::INITIAL, limit).await?;
    let read = since(began);
    store.release(&lease).await?;
    let entry = batch.entries.first();
    let is_there = entry
        .and_then(|entry| entry.records.first())
        .is_some_and(|record| record.payload == PAYLOAD);
    if !is_there {
        let text = "the record that was acknowledged was not read back";
        return Ok(found.fail(text, Some("run: dlog store check, on the store's machine")));
    }
    let printed = found.ok(&format!(
        "wrote a record in {took} and read it back in {read}"
    ));
    let skew = entry.map_or(0, |entry| entry.written_unix_ms.abs_diff(now));
    Ok(printed.and_then(|()| clock(Duration::from_millis(skew), found)))
}

fn clock(skew: Duration, found: &mut Findings<'_>) -> Result<(), CliError> {
    if skew <= MAX_SKEW {
        return found.ok("the clocks of the store and of this machine agree");
    }
    found.warn(
        &format!("the clocks of the store and of this machine differ by {skew:?}"),
        "synchronise both (chrony, systemd-timesyncd): times of records and retention by age are \
         the store's",
    )
}
