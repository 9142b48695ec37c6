use distributedlog::{Dlsn, Instant, StatusCode};

use super::dedup::DedupVerdict;
use super::stream::{BulkProgress, QueuedWork, Records, StreamCounters, StreamPhase, Task};
use super::{
    Bulk, MAX_ENTRY_BYTES, Machine, NotStarted, Output, Reply, StreamReply, Ticket, status,
};
use crate::MAX_RECORD_BYTES;
use distributedlog_store::{EntryRecord, Lease, StoreError, StreamName};

impl<O: Clone> Machine<O> {
    /// Takes the result of an append.
    pub(crate) fn handle_appended(
        &mut self,
        now: Instant,
        ticket: Ticket<O>,
        result: Result<Dlsn, StoreError>,
    ) {
        let Ticket {
            to,
            stream: name,
            epoch,
            ownership,
            window,
            mut work,
        } = ticket;
        let (serial, identity) = (
            work.serial,
            work.fingerprint.map(|fingerprint| fingerprint.identity),
        );
        let stored = result.as_ref().ok().copied();
        let stream = self
            .streams
            .get_mut(&name)
            .expect("a stream is kept while the store works on it");
        stream.in_store -= 1;
        if let Task::Append(records) | Task::AppendPart(records) = &work.task {
            let bytes = records.payload_bytes();
            stream.counters.count(stored.is_some(), bytes);
            if stored.is_some() {
                stream.recent.count(now, records.slots(), bytes as u64);
            }
        }
        match result {
            Ok(dlsn) => self.finish_append(&name, to, &work, Ok(dlsn)),
            Err(error) => {
                let fenced = matches!(error, StoreError::Fenced(_));
                if fenced
                    && matches!(&stream.phase, StreamPhase::Owned(lease) if lease.epoch == epoch)
                {
                    stream.phase = StreamPhase::Unowned;
                    stream.counters = StreamCounters::default();
                    self.counters.leases_lost += 1;
                }
                if fenced && !work.fenced_before {
                    // Nothing was written, so the append can be repeated: by this proxy if it gets
                    // the stream back, otherwise its client is redirected to the new owner. Only
                    // once: a stream that two proxies take from each other would keep the request
                    // for ever. The deadline is for starting, and this work has started.
                    work.fenced_before = true;
                    work.deadline = None;
                    stream.enqueue(to, work);
                } else {
                    self.finish_append(&name, to, &work, Err(&status::of_append(&error)));
                }
            }
        }
        if let Some(identity) = identity {
            self.dedup.end(ownership, identity, serial, window, stored);
            self.release_followers(&name, serial, stored);
        }
        self.advance(now, &name);
    }

    /// Hands an append to the store, unless it is a duplicate of a set that is stored or being
    /// stored.
    pub(super) fn start_append(&mut self, lease: Lease, to: O, work: QueuedWork) {
        let stream = self
            .streams
            .get_mut(&lease.stream)
            .expect("a stream is kept while something waits for it");
        let ownership = stream.ownership;
        if let Some(fingerprint) = &work.fingerprint {
            match self
                .dedup
                .begin(ownership, fingerprint, work.serial, &mut stream.window)
            {
                DedupVerdict::Store => {}
                DedupVerdict::StoreDifferent => self.counters.identities_reused += 1,
                DedupVerdict::Follow(first) => {
                    self.followers.entry(first).or_default().push((to, work));
                    return;
                }
                DedupVerdict::Stored(dlsn) => {
                    return self.reply_duplicate(&lease.stream, to, &work, dlsn);
                }
            }
        }
        stream.in_store += 1;
        let window = stream.window;
        let (Task::Append(records) | Task::AppendPart(records)) = &work.task else {
            unreachable!("only appends are started as such");
        };
        let entry = records.to_entry();
        let ticket = Ticket {
            to,
            stream: lease.stream.clone(),
            epoch: lease.epoch,
            ownership,
            window,
            work,
        };
        self.outputs.push_back(Output::Append {
            lease,
            entry,
            ticket,
        });
    }

    /// Completes the duplicates of a set that was being stored. If it was stored, they are answered
    /// with its position. If it is not known to be stored, they return to their places in the
    /// queue, and the next of them is stored: a client is never sent the error of another client's
    /// request.
    fn release_followers(&mut self, name: &StreamName, first: u64, stored: Option<Dlsn>) {
        if self.followers.is_empty() {
            return;
        }
        for (to, work) in self.followers.remove(&first).into_iter().flatten() {
            match stored {
                Some(dlsn) => self.reply_duplicate(name, to, &work, dlsn),
                None => {
                    self.deadlines.add(name, &work);
                    self.streams
                        .get_mut(name)
                        .expect("a stream is kept while the store works on it")
                        .enqueue(to, work);
                }
            }
        }
    }

    fn reply_duplicate(&mut self, name: &StreamName, to: O, work: &QueuedWork, stored: Dlsn) {
        self.counters.duplicates_answered += 1;
        self.finish(
            name,
            to,
            work.size,
            Reply::Stream(StreamReply::written(stored)),
        );
    }

    fn finish_append(
        &mut self,
        name: &StreamName,
        to: O,
        work: &QueuedWork,
        outcome: Result<Dlsn, &StreamReply>,
    ) {
        let response = |slots_before: u32| match outcome {
            Ok(dlsn) => StreamReply::written(dlsn.slot(slots_before)),
            Err(refusal) => refusal.clone(),
        };
        let Task::AppendPart(records) = &work.task else {
            self.finish(name, to, work.size, Reply::Stream(response(0)));
            return;
        };
        let count = match records {
            Records::One(_) => 1,
            Records::Many(records) => records.len(),
        };
        let bulk = self
            .bulks
            .get_mut(&work.serial)
            .expect("a bulk write is kept until its last part is done");
        let start = bulk.starts[work.part as usize];
        for (outcome, slot) in bulk.outcomes[start..start + count].iter_mut().zip(0..) {
            *outcome = Some(response(slot));
        }
        self.finish_part(name, work.serial);
    }

    /// Refuses queued work because its stream cannot be had.
    pub(super) fn refuse(
        &mut self,
        name: &StreamName,
        to: O,
        work: &QueuedWork,
        refusal: &StreamReply,
    ) {
        match work.task {
            Task::Append(_) | Task::AppendPart(_) => {
                self.finish_append(name, to, work, Err(refusal))
            }
            Task::Touch | Task::Truncate(_) | Task::Release | Task::Delete => {
                self.finish(name, to, work.size, Reply::Stream(refusal.clone()));
            }
        }
    }

    /// Gives up a request of which no part has started. The other parts of a bulk write must be in
    /// the queue behind this one.
    pub(super) fn abandon(&mut self, name: &StreamName, to: O, work: &QueuedWork, why: NotStarted) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream
                .queue
                .retain(|(_, other)| other.serial != work.serial);
        }
        self.bulks.remove(&work.serial);
        self.finish(name, to, work.size, Reply::NotStarted(why));
    }

    fn finish_part(&mut self, name: &StreamName, serial: u64) {
        let Some(bulk) = self.bulks.get_mut(&serial) else {
            return;
        };
        bulk.parts_left -= 1;
        if bulk.parts_left > 0 {
            return;
        }
        let Some(bulk) = self.bulks.remove(&serial) else {
            return;
        };
        let BulkProgress {
            to,
            size,
            outcomes,
            refused,
            ..
        } = bulk;
        let mut responses: Vec<StreamReply> = outcomes.into_iter().flatten().collect();
        let first = responses
            .first()
            .expect("a bulk write without records is answered at once")
            .clone();
        let refused_as_a_whole = first.code != StatusCode::Success
            && responses.iter().all(|response| response.code == first.code);
        let reply = if refused_as_a_whole {
            // In the header, where clients look for redirects and for the codes that they may retry
            // elsewhere.
            Reply::Stream(first)
        } else {
            responses.extend(refused);
            Reply::Bulk(responses)
        };
        self.finish(name, to, size, reply);
    }

    /// Answers a request that was counted for a stream.
    pub(super) fn finish(&mut self, name: &StreamName, to: O, size: usize, reply: Reply) {
        let stream = self
            .streams
            .get_mut(name)
            .expect("a stream is kept while requests for it are unanswered");
        stream.usage.remove(size);
        self.usage.remove(size);
        self.reply(to, reply);
    }
}

/// Splits a bulk write into entries of at most [`MAX_ENTRY_BYTES`]. Usually there is one, so that
/// the slots of its records count up.
pub(super) fn split_bulk<O>(
    to: O,
    name: &str,
    size: usize,
    mut bulk: Bulk,
) -> (BulkProgress<O>, Vec<Records>) {
    let refused = refused_tail(name, &bulk);
    let count = bulk.records.len();
    let mut starts = Vec::new();
    let mut parts: Vec<Vec<EntryRecord>> = Vec::new();
    let mut room = 0;
    for (index, record) in bulk.records.drain(..).enumerate() {
        let bytes = record.payload.len();
        match parts.last_mut().filter(|_| bytes <= room) {
            Some(part) => {
                room -= bytes;
                part.push(record);
            }
            None => {
                room = MAX_ENTRY_BYTES.saturating_sub(bytes);
                starts.push(index);
                parts.push(vec![record]);
            }
        }
    }
    let progress = BulkProgress {
        to,
        size,
        parts_left: parts.len(),
        starts,
        outcomes: vec![None; count],
        refused,
    };
    (progress, parts.into_iter().map(Records::Many).collect())
}

/// Returns the replies for the record that is too large and for those after it.
pub(super) fn refused_tail(name: &str, bulk: &Bulk) -> Vec<StreamReply> {
    let too_large = bulk.too_large.map(too_large);
    let cancelled = StreamReply::refused(
        StatusCode::WriteCancelledException,
        format!(
            "write cancelled on log stream {name}: an earlier record of the bulk write is too \
             large"
        ),
    );
    too_large
        .into_iter()
        .chain(core::iter::repeat_n(cancelled, bulk.cancelled))
        .collect()
}

/// Returns the reply for a record of this size, which exceeds the limit.
pub(super) fn too_large(size: usize) -> StreamReply {
    StreamReply::refused(
        StatusCode::TooLargeRecord,
        format!("log record of {size} bytes, but at most {MAX_RECORD_BYTES} are stored"),
    )
}
