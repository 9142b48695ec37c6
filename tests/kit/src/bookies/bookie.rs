use std::collections::BTreeMap;

use bytes::Bytes;
use distributedlog_bookkeeper::entry::MasterKey;
use distributedlog_bookkeeper::wire::{
    Add, AddReply, Operation, Priority, Read, ReadMode, ReadReply, Reply, Request, Response, Status,
};
use distributedlog_bookkeeper::{EntryId, LedgerId, NO_ENTRY};

use super::BookieMode;
use crate::Random;

/// One bookie, with what it stores.
#[derive(Default)]
pub(super) struct Bookie {
    mode: BookieMode,
    /// Number of the process: it changes when the bookie dies.
    life: u64,
    pub(super) is_read_only: bool,
    /// In their order, so that what a crash leaves is the seed's.
    ledgers: BTreeMap<LedgerId, Ledger>,
}

#[derive(Default)]
struct Ledger {
    key: Option<MasterKey>,
    is_fenced: bool,
    is_fence_durable: bool,
    entries: BTreeMap<EntryId, Stored>,
}

struct Stored {
    body: Bytes,
    is_durable: bool,
}

/// Consequence of a request.
pub(super) enum Handled {
    /// The response.
    Answer(Response),
    /// The response, once the journal is synced.
    Sync(Response),
    /// Nothing yet: the read waits for a later last add confirmed.
    Wait,
}

impl Bookie {
    pub(super) const fn mode(&self) -> BookieMode {
        self.mode
    }

    pub(super) const fn life(&self) -> u64 {
        self.life
    }

    pub(super) fn set_mode(&mut self, mode: BookieMode, random: &mut Random) {
        if mode == BookieMode::Down && self.mode != BookieMode::Down {
            self.life += 1;
            self.lose_power(random);
        }
        self.mode = mode;
    }

    /// Of what was not synced, a random part is there afterwards.
    fn lose_power(&mut self, random: &mut Random) {
        for ledger in self.ledgers.values_mut() {
            let survives =
                |stored: &Stored, random: &mut Random| stored.is_durable || random.below(2) == 0;
            ledger.entries.retain(|_, stored| survives(stored, random));
            for stored in ledger.entries.values_mut() {
                stored.is_durable = true;
            }
            ledger.is_fenced = ledger.is_fence_durable;
        }
    }

    pub(super) fn wipe(&mut self) {
        self.ledgers.clear();
    }

    pub(super) fn durable(&self, ledger: LedgerId, entry: EntryId) -> Option<&Bytes> {
        let stored = self.ledgers.get(&ledger)?.entries.get(&entry)?;
        stored.is_durable.then_some(&stored.body)
    }

    /// Takes a request.
    pub(super) fn handle(&mut self, request: &Request) -> Handled {
        let txn_id = request.txn_id;
        match &request.operation {
            Operation::Add(add) => self.add(add, request.priority == Priority::High, txn_id),
            Operation::Read(read) => self.read(read, txn_id),
            Operation::Auth(_)
            | Operation::WriteLac(_)
            | Operation::ReadLac(_)
            | Operation::BookieInfo
            | Operation::StartTls
            | Operation::ForceLedger(_)
            | Operation::ListEntries(_) => Handled::Answer(Response {
                txn_id,
                operation: 0,
                outer: Status::BadRequest,
                reply: None,
            }),
            // Of a later version.
            _ => Handled::Wait,
        }
    }

    fn add(&mut self, add: &Add, is_high: bool, txn_id: u64) -> Handled {
        let ledger = self.ledgers.entry(add.ledger).or_default();
        let key = *ledger.key.get_or_insert(add.master_key);
        if key != add.master_key {
            return Handled::Answer(added(txn_id, add, Status::Unauthorized));
        }
        if self.is_read_only && !(add.recovery && is_high) {
            return Handled::Answer(added(txn_id, add, Status::ReadOnly));
        }
        if ledger.is_fenced && !add.recovery {
            return Handled::Answer(added(txn_id, add, Status::Fenced));
        }
        // A bookie stores by the body's ids; the first bytes of an entry stay.
        ledger
            .entries
            .entry(entry_of(&add.body))
            .or_insert_with(|| Stored {
                body: add.body.clone(),
                is_durable: false,
            });
        Handled::Sync(added(txn_id, add, Status::Ok))
    }

    fn read(&mut self, read: &Read, txn_id: u64) -> Handled {
        match read.mode {
            ReadMode::Plain => Handled::Answer(self.found(read, txn_id, read.entry)),
            ReadMode::Fence(key) => {
                let ledger = self.ledgers.entry(read.ledger).or_default();
                if let Some(key) = key
                    && *ledger.key.get_or_insert(key) != key
                {
                    let refused = response(read, txn_id, Status::Unauthorized, None, None);
                    return Handled::Answer(refused);
                }
                ledger.is_fenced = true;
                Handled::Sync(self.found(read, txn_id, read.entry))
            }
            ReadMode::LongPoll { previous_lac, wait } => {
                let lac = self.lac(read.ledger);
                match wait {
                    Some(_) if lac <= previous_lac => Handled::Wait,
                    Some(_) | None => Handled::Answer(self.polled(read, txn_id, previous_lac)),
                }
            }
        }
    }

    /// Returns what a poll gets whose wait is over.
    pub(super) fn polled(&self, read: &Read, txn_id: u64, previous_lac: EntryId) -> Response {
        let lac = self.lac(read.ledger);
        let next = self.ledgers.get(&read.ledger);
        let next = next.and_then(|it| it.entries.get(&(previous_lac + 1)));
        let body = next
            .filter(|_| lac > previous_lac)
            .map(|it| it.body.clone());
        response(read, txn_id, Status::Ok, body, Some(lac))
    }

    /// Returns the largest last add confirmed that an entry's header names.
    fn lac(&self, ledger: LedgerId) -> EntryId {
        let ledger = self.ledgers.get(&ledger);
        let bodies = ledger.into_iter().flat_map(|it| it.entries.values());
        bodies.map(|it| lac_of(&it.body)).max().unwrap_or(NO_ENTRY)
    }

    fn found(&self, read: &Read, txn_id: u64, entry: EntryId) -> Response {
        let ledger = self.ledgers.get(&read.ledger);
        let ledger = ledger.filter(|it| !it.entries.is_empty());
        let Some(ledger) = ledger else {
            let status = match read.mode {
                // A fence creates the ledger.
                ReadMode::Fence(_) => Status::NoEntry,
                ReadMode::Plain | ReadMode::LongPoll { .. } => Status::NoLedger,
            };
            return response(read, txn_id, status, None, None);
        };
        let stored = match entry {
            NO_ENTRY => ledger.entries.last_key_value().map(|(_, stored)| stored),
            entry => ledger.entries.get(&entry),
        };
        match stored {
            Some(stored) => {
                let lac = Some(self.lac(read.ledger));
                response(read, txn_id, Status::Ok, Some(stored.body.clone()), lac)
            }
            None => response(read, txn_id, Status::NoEntry, None, None),
        }
    }

    /// Makes durable what a request asked for.
    pub(super) fn sync(&mut self, request: &Request) {
        if let Operation::Add(add) = &request.operation {
            let ledger = self.ledgers.entry(add.ledger).or_default();
            if let Some(stored) = ledger.entries.get_mut(&entry_of(&add.body)) {
                stored.is_durable = true;
            }
        } else if let Operation::Read(read) = &request.operation {
            let ledger = self.ledgers.entry(read.ledger).or_default();
            ledger.is_fence_durable = true;
        }
    }
}

fn number(body: &[u8], at: usize) -> i64 {
    let mut number = [0; 8];
    number.copy_from_slice(&body[at..at + 8]);
    i64::from_be_bytes(number)
}

fn entry_of(body: &[u8]) -> EntryId {
    number(body, 8)
}

fn lac_of(body: &[u8]) -> EntryId {
    number(body, 16)
}

fn added(txn_id: u64, add: &Add, status: Status) -> Response {
    Response {
        txn_id,
        operation: 2,
        outer: status,
        reply: Some(Reply::Add(AddReply {
            status,
            ledger: add.ledger,
            entry: Some(add.entry),
        })),
    }
}

fn response(
    read: &Read,
    txn_id: u64,
    status: Status,
    body: Option<Bytes>,
    max_lac: Option<EntryId>,
) -> Response {
    Response {
        txn_id,
        operation: 1,
        outer: status,
        reply: Some(Reply::Read(ReadReply {
            status,
            ledger: read.ledger,
            entry: read.entry,
            body,
            max_lac,
            lac_update_unix_ms: None,
        })),
    }
}
