use distributedlog::{Dlsn, Instant, StatusCode};

use super::copies::Verdict;
use super::stream::{BulkProgress, Phase, Records, Task, Waiting};
use super::{Answer, Bulk, MAX_ENTRY_BYTES, Machine, NotStarted, Output, Response, Ticket, status};
use crate::MAX_RECORD_BYTES;
use distributedlog_store::{EntryRecord, Lease, StoreError, StreamName};

impl<O: Clone> Machine<O> {
    /// Takes what became of an append.
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
            mut waiting,
        } = ticket;
        let (serial, identity) = (waiting.serial, waiting.print.map(|print| print.identity));
        let stored = result.as_ref().ok().copied();
        let stream = self
            .streams
            .get_mut(&name)
            .expect("a stream is kept while the store works on it");
        stream.in_store -= 1;
        match result {
            Ok(dlsn) => self.finish_append(&name, to, &waiting, Ok(dlsn)),
            Err(error) => {
                let fenced = matches!(error, StoreError::Fenced(_));
                if fenced && matches!(&stream.phase, Phase::Owned(lease) if lease.epoch == epoch) {
                    stream.phase = Phase::Unowned;
                }
                if fenced && !waiting.fenced_before {
                    // Nothing was written, so it can be done again: by this proxy if it gets the
                    // stream back, else its client is told who has it.
                    waiting.fenced_before = true;
                    waiting.deadline = None;
                    stream.enqueue(to, waiting);
                } else {
                    self.finish_append(&name, to, &waiting, Err(&status::of_append(&error)));
                }
            }
        }
        if let Some(identity) = identity {
            self.copies.end(ownership, identity, serial, window, stored);
            self.release_followers(&name, serial, stored);
        }
        self.advance(now, &name);
    }

    /// Hands an append to the store, unless it is a copy of a set that is there or on its way
    /// there.
    pub(super) fn start_append(&mut self, lease: Lease, to: O, waiting: Waiting) {
        let stream = self
            .streams
            .get_mut(&lease.stream)
            .expect("a stream is kept while something waits for it");
        let ownership = stream.ownership;
        if let Some(print) = &waiting.print {
            match self
                .copies
                .begin(ownership, print, waiting.serial, &mut stream.window)
            {
                Verdict::Store => {}
                Verdict::StoreDifferent => self.counters.identities_reused += 1,
                Verdict::Follow(first) => {
                    self.followers.entry(first).or_default().push((to, waiting));
                    return;
                }
                Verdict::Stored(dlsn) => {
                    return self.answer_copy(&lease.stream, to, &waiting, dlsn);
                }
            }
        }
        stream.in_store += 1;
        let window = stream.window;
        let (Task::Append(records) | Task::AppendPart(records)) = &waiting.task else {
            unreachable!("only appends are started as such");
        };
        let entry = records.to_entry();
        let ticket = Ticket {
            to,
            stream: lease.stream.clone(),
            epoch: lease.epoch,
            ownership,
            window,
            waiting,
        };
        self.outputs.push_back(Output::Append {
            lease,
            entry,
            ticket,
        });
    }

    /// Tells those who sent copies of a set while it was being stored where it is. If it is not
    /// known to be anywhere, they wait again in their old places, and the next of them is
    /// stored: what a client is told is never about another one's failure.
    fn release_followers(&mut self, name: &StreamName, first: u64, stored: Option<Dlsn>) {
        if self.followers.is_empty() {
            return;
        }
        for (to, waiting) in self.followers.remove(&first).into_iter().flatten() {
            match stored {
                Some(dlsn) => self.answer_copy(name, to, &waiting, dlsn),
                None => {
                    self.deadlines.add(name, &waiting);
                    self.streams
                        .get_mut(name)
                        .expect("a stream is kept while the store works on it")
                        .enqueue(to, waiting);
                }
            }
        }
    }

    fn answer_copy(&mut self, name: &StreamName, to: O, waiting: &Waiting, stored: Dlsn) {
        self.counters.duplicates_answered += 1;
        self.finish(
            name,
            to,
            waiting.size,
            Answer::Stream(Response::written(stored)),
        );
    }

    fn finish_append(
        &mut self,
        name: &StreamName,
        to: O,
        waiting: &Waiting,
        outcome: Result<Dlsn, &Response>,
    ) {
        let response = |slots_before: u32| match outcome {
            Ok(dlsn) => Response::written(dlsn.slot(slots_before)),
            Err(refusal) => refusal.clone(),
        };
        let Task::AppendPart(records) = &waiting.task else {
            self.finish(name, to, waiting.size, Answer::Stream(response(0)));
            return;
        };
        let count = match records {
            Records::One(_) => 1,
            Records::Many(records) => records.len(),
        };
        let bulk = self
            .bulks
            .get_mut(&waiting.serial)
            .expect("a bulk write is kept until its last part is done");
        let start = bulk.starts[waiting.part as usize];
        for (outcome, slot) in bulk.outcomes[start..start + count].iter_mut().zip(0..) {
            *outcome = Some(response(slot));
        }
        self.finish_part(name, waiting.serial);
    }

    /// Gives up an append, or anything else that waits, because its stream is not to be had.
    pub(super) fn refuse(
        &mut self,
        name: &StreamName,
        to: O,
        waiting: &Waiting,
        refusal: &Response,
    ) {
        match waiting.task {
            Task::Append(_) | Task::AppendPart(_) => {
                self.finish_append(name, to, waiting, Err(refusal))
            }
            Task::Touch | Task::Truncate(_) | Task::Release | Task::Delete => {
                self.finish(name, to, waiting.size, Answer::Stream(refusal.clone()));
            }
        }
    }

    /// Gives up a request of which nothing has started. Of a bulk write, the other parts must wait
    /// behind this one.
    pub(super) fn abandon(&mut self, name: &StreamName, to: O, waiting: &Waiting, why: NotStarted) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream
                .waiting
                .retain(|(_, other)| other.serial != waiting.serial);
        }
        self.bulks.remove(&waiting.serial);
        self.finish(name, to, waiting.size, Answer::NotStarted(why));
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
        let mut responses: Vec<Response> = outcomes.into_iter().flatten().collect();
        let first = responses
            .first()
            .expect("a bulk write without records is answered at once")
            .clone();
        let refused_as_a_whole = first.code != StatusCode::Success
            && responses.iter().all(|response| response.code == first.code);
        let answer = if refused_as_a_whole {
            // In the header, where clients look for redirects and for what they may try again
            // elsewhere.
            Answer::Stream(first)
        } else {
            responses.extend(refused);
            Answer::Bulk(responses)
        };
        self.finish(name, to, size, answer);
    }

    /// Answers a request that was counted for a stream.
    pub(super) fn finish(&mut self, name: &StreamName, to: O, size: usize, answer: Answer) {
        let stream = self
            .streams
            .get_mut(name)
            .expect("a stream is kept while requests for it are unanswered");
        stream.usage.remove(size);
        self.usage.remove(size);
        self.reply(to, answer);
    }
}

/// Cuts a bulk write into entries. Usually there is one, so that its records' slots count up.
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

/// The answers of the record that is too large and of those after it.
pub(super) fn refused_tail(name: &str, bulk: &Bulk) -> Vec<Response> {
    let too_large = bulk.too_large.map(too_large);
    let cancelled = Response::refused(
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

/// The answer to a record of this size.
pub(super) fn too_large(size: usize) -> Response {
    Response::refused(
        StatusCode::TooLargeRecord,
        format!("log record of {size} bytes, but at most {MAX_RECORD_BYTES} are stored"),
    )
}
