//! Reads ledgers.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, sleep_until};

use super::call::Outcome;
use super::shared::{Core, read_answer};
use crate::entry::{Entry, EntryCodec};
use crate::ledger::{
    LacReader, MetadataReply, ReadAnswer, ReadError, ReadRequest, Reader, ReaderOutput,
    ReaderSettings, Versioned,
};
use crate::metadata::LedgerState;
use crate::wire::{Operation, Priority, Read, ReadMode, Reply, Request};
use crate::{EntryId, LedgerId, NO_ENTRY};

/// Time that a bookie gets beyond the wait that it was asked for: its timer is coarse.
const POLL_GRACE: Duration = Duration::from_secs(2);

/// Time after which a second bookie is asked to wait too.
const POLL_SPECULATION: Duration = Duration::from_millis(1_500);

/// The reader of one ledger. It never fences.
#[derive(Clone)]
pub struct LedgerReader {
    core: Arc<Core>,
    codec: EntryCodec,
    stored: Versioned,
}

/// What a reader knows of its ledger's metadata after it has asked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Refreshed {
    /// They are those of ZooKeeper.
    Current,
    /// The ledger was deleted.
    Deleted,
    /// ZooKeeper could not be asked: they are as they were before, and may have changed.
    Unknown,
}

/// Last add confirmed of an open ledger, and the entry behind the known one if the bookie sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// Last add confirmed, or [`NO_ENTRY`].
    pub last_confirmed: EntryId,
    /// Entry behind the one that was known.
    pub entry: Option<Entry>,
}

impl LedgerReader {
    pub(super) fn new(core: &Arc<Core>, codec: EntryCodec, stored: Versioned) -> Self {
        Self {
            core: Arc::clone(core),
            codec,
            stored,
        }
    }

    /// Returns the number of the ledger.
    #[must_use]
    pub const fn ledger(&self) -> LedgerId {
        self.codec.ledger()
    }

    /// Returns the metadata as it was read last.
    #[must_use]
    pub const fn metadata(&self) -> &Versioned {
        &self.stored
    }

    /// Reads the metadata again: bookies of an open ledger change, and it is closed some time.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn refresh(&mut self) -> Refreshed {
        match self.core.nodes.read(self.ledger()).await {
            MetadataReply::Found(stored) => {
                self.stored = stored;
                Refreshed::Current
            }
            MetadataReply::NoNode => Refreshed::Deleted,
            MetadataReply::Unknown => Refreshed::Unknown,
        }
    }

    /// Returns the last entry that may be read: the last one of a closed ledger, the last add
    /// confirmed of an open one. [`NO_ENTRY`] if there is none.
    ///
    /// # Errors
    /// [`ReadError`] if too few bookies answer.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn last_confirmed(&self) -> Result<EntryId, ReadError> {
        let metadata = &self.stored.metadata;
        if metadata.state == LedgerState::Closed {
            return Ok(metadata.last_entry);
        }
        let mut machine = LacReader::new(self.codec.clone(), metadata)?;
        let (sender, mut answers) = unbounded_channel();
        for (request, bookie) in machine.requests() {
            let sender = sender.clone();
            let read = request.read(0, self.ledger());
            let timeout = self.core.settings.read_timeout;
            self.core.ask(bookie, read, timeout, move |outcome| {
                sender.send((request, read_answer(outcome))).ok();
            });
        }
        drop(sender);
        while let Some((request, answer)) = answers.recv().await {
            if let Some(last) = machine.handle_reply(request, &answer)? {
                return Ok(last);
            }
        }
        Err(ReadError::NotCovered)
    }

    /// Waits until the last add confirmed of an open ledger exceeds the known one, at most for this
    /// time by the bookies' clocks. Returns what was known if it did not, or if no bookie answers.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn poll(&self, known: EntryId, wait: Duration) -> Polled {
        let ensemble = &self.stored.metadata.last_segment().ensemble;
        let (sender, mut outcomes) = unbounded_channel();
        // The bookies that store the next entry send it along.
        let first = usize::try_from(known + 1).unwrap_or(0) % ensemble.len();
        let mut next = (0..ensemble.len()).map(|it| &ensemble[(first + it) % ensemble.len()]);
        let ask = |bookie| {
            let sender: UnboundedSender<Outcome> = sender.clone();
            let mode = ReadMode::LongPoll {
                previous_lac: known,
                wait: Some(wait),
            };
            let request = Request {
                txn_id: 0,
                priority: Priority::Normal,
                operation: Operation::Read(Read {
                    ledger: self.ledger(),
                    entry: NO_ENTRY,
                    mode,
                }),
            };
            self.core
                .ask(bookie, request, wait + POLL_GRACE, move |it| {
                    sender.send(it).ok();
                });
        };
        let mut waiting = 0_usize;
        let mut wants_another = true;
        let nothing = Polled {
            last_confirmed: known,
            entry: None,
        };
        loop {
            if core::mem::take(&mut wants_another)
                && let Some(bookie) = next.next()
            {
                ask(bookie);
                waiting += 1;
            }
            if waiting == 0 {
                return nothing;
            }
            let outcome = tokio::select! {
                biased;
                Some(outcome) = outcomes.recv() => outcome,
                () = sleep(POLL_SPECULATION), if waiting == 1 => {
                    wants_another = true;
                    continue;
                }
            };
            waiting -= 1;
            match self.polled(known, outcome) {
                Some(polled) => return polled,
                None => wants_another = true,
            }
        }
    }

    /// Returns what a bookie answered to a poll, or `None` if it says nothing.
    fn polled(&self, known: EntryId, outcome: Outcome) -> Option<Polled> {
        let Ok(Reply::Read(reply)) = outcome.map(|it| it.reply).transpose()? else {
            return None;
        };
        if reply.status != crate::wire::Status::Ok {
            return None;
        }
        let body = reply.body.filter(|it| !it.is_empty());
        let entry = body.and_then(|it| self.codec.decode_any(&it).ok());
        let told = reply.max_lac.unwrap_or(NO_ENTRY).max(known);
        Some(Polled {
            // An entry that follows confirms what its header says, whatever the bookie adds.
            last_confirmed: entry.as_ref().map_or(told, |it| told.max(it.lac)),
            entry: entry.filter(|it| it.entry == known + 1 && it.entry <= told),
        })
    }

    /// Reads entries in their order, from `first` to `last`, `ahead` of them at the same time and
    /// at least one.
    ///
    /// # Errors
    /// [`ReadError::EnsembleTooLarge`].
    pub fn entries(
        &self,
        first: EntryId,
        last: EntryId,
        ahead: usize,
    ) -> Result<Entries, ReadError> {
        let (sender, answers) = unbounded_channel();
        let settings = ReaderSettings {
            max_entries: ahead,
            ..self.core.settings.reader
        };
        let metadata = self.stored.metadata.clone();
        let machine = Reader::new(settings, self.codec.clone(), metadata)?;
        Ok(Entries {
            core: Arc::clone(&self.core),
            ledger: self.ledger(),
            machine,
            next: first.max(0),
            last,
            sender,
            answers,
            is_over: false,
        })
    }
}

impl fmt::Debug for LedgerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerReader")
            .field("ledger", &self.codec.ledger())
            .finish_non_exhaustive()
    }
}

/// Entries of a ledger, read ahead in their order.
pub struct Entries {
    core: Arc<Core>,
    ledger: LedgerId,
    machine: Reader,
    /// Next entry to ask for, and the last one that is wanted.
    next: EntryId,
    last: EntryId,
    sender: UnboundedSender<(ReadRequest, ReadAnswer)>,
    answers: UnboundedReceiver<(ReadRequest, ReadAnswer)>,
    is_over: bool,
}

impl Entries {
    /// Returns the last entry that was asked for.
    #[must_use]
    pub const fn last(&self) -> EntryId {
        self.last
    }

    /// Returns the next entry, or `None` behind the last one and behind an error.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Entry, ReadError>> {
        loop {
            if self.is_over {
                return None;
            }
            let now = self.core.clock.now();
            while self.next <= self.last && self.machine.read(now, self.next) {
                self.next += 1;
            }
            if let Some(result) = self.carry_out() {
                self.is_over = result.is_err();
                return Some(result);
            }
            let due = self.machine.poll_timeout();
            if due.is_none() && !self.machine.is_reading() {
                self.is_over = true;
                return None;
            }
            let timer = async {
                match due {
                    Some(due) => sleep_until(self.core.clock.at(due)).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((request, answer)) = self.answers.recv() => {
                    let now = self.core.clock.now();
                    self.machine.handle_reply(now, request, answer);
                    while let Ok((request, answer)) = self.answers.try_recv() {
                        self.machine.handle_reply(now, request, answer);
                    }
                }
                () = timer => self.machine.handle_timeout(self.core.clock.now()),
            }
        }
    }

    /// Carries out the machine's outputs up to the next result.
    fn carry_out(&mut self) -> Option<Result<Entry, ReadError>> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                ReaderOutput::Read { request, bookie } => {
                    let sender = self.sender.clone();
                    let read = request.read(0, self.ledger);
                    let timeout = self.core.settings.read_timeout;
                    self.core.ask(&bookie, read, timeout, move |outcome| {
                        sender.send((request, read_answer(outcome))).ok();
                    });
                }
                ReaderOutput::Entry(entry) => return Some(Ok(entry)),
                ReaderOutput::Failed(error) => return Some(Err(error)),
                ReaderOutput::Damaged {
                    entry,
                    bookie,
                    error,
                } => tracing::warn!(
                    ledger = self.ledger,
                    entry,
                    %bookie,
                    %error,
                    "a bookie returned a damaged entry"
                ),
            }
        }
        None
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("ledger", &self.ledger)
            .field("next", &self.next)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
