//! One bookie and its part of the ledger.

use std::collections::BTreeMap;

use bytes::Bytes;
use distributedlog_bookkeeper::entry::MasterKey;
use distributedlog_bookkeeper::wire::{
    Add, AddReply, Operation, Priority, Read, ReadMode, ReadReply, Reply, Request, Response, Status,
};
use distributedlog_bookkeeper::{EntryId, NO_ENTRY};
use distributedlog_testkit::Random;

/// An entry as it is stored.
struct Stored {
    body: Bytes,
    durable: bool,
}

/// Something that waits for the journal's next sync.
enum Unsynced {
    Add { entry: EntryId, reply: Waiting },
    Fence { read: Read, reply: Waiting },
}

/// The connection and request that a reply is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) client: usize,
    pub(super) connection: u64,
    pub(super) txn_id: u64,
}

#[derive(Default)]
pub(super) struct Bookie {
    entries: BTreeMap<EntryId, Stored>,
    key: Option<MasterKey>,
    fenced: bool,
    fence_is_durable: bool,
    journal: Vec<Unsynced>,
    pub(super) is_down: bool,
    pub(super) is_read_only: bool,
}

/// Replies to send now.
pub(super) type Replies = Vec<(Waiting, Response)>;

impl Bookie {
    /// Takes a request. Returns the reply, or `None` if it waits for the journal.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the machines send two kinds of requests"
    )]
    pub(super) fn handle(&mut self, request: Request, waiting: Waiting) -> Option<Response> {
        let high = request.priority == Priority::High;
        match request.operation {
            Operation::Add(add) => self.add(add, high, waiting),
            Operation::Read(read) => self.read_or_fence(read, waiting),
            other => panic!("no machine of a ledger sends {other:?}"),
        }
    }

    fn add(&mut self, add: Add, high: bool, waiting: Waiting) -> Option<Response> {
        let refuse = |status| Some(added(waiting.txn_id, status, &add));
        let key = *self.key.get_or_insert(add.master_key);
        if key != add.master_key {
            return refuse(Status::Unauthorized);
        }
        if self.is_read_only && !(add.recovery && high) {
            return refuse(Status::ReadOnly);
        }
        if self.fenced && !add.recovery {
            return refuse(Status::Fenced);
        }
        // A bookie stores by the body's ids; the first bytes of an entry stay.
        let mut id = [0; 8];
        id.copy_from_slice(&add.body[8..16]);
        let entry = EntryId::from_be_bytes(id);
        let body = add.body;
        self.entries.entry(entry).or_insert(Stored {
            body,
            durable: false,
        });
        self.journal.push(Unsynced::Add {
            entry,
            reply: waiting,
        });
        None
    }

    fn read_or_fence(&mut self, read: Read, waiting: Waiting) -> Option<Response> {
        if let ReadMode::Fence(key) = read.mode {
            let key = key.expect("recoveries send the key");
            if *self.key.get_or_insert(key) != key {
                return Some(self.read(&read, waiting.txn_id, Some(Status::Unauthorized)));
            }
            if !self.fence_is_durable {
                self.fenced = true;
                self.journal.push(Unsynced::Fence {
                    read,
                    reply: waiting,
                });
                return None;
            }
        }
        Some(self.read(&read, waiting.txn_id, None))
    }

    fn read(&self, read: &Read, txn_id: u64, refused: Option<Status>) -> Response {
        let found = match read.entry {
            NO_ENTRY => self.entries.last_key_value().map(|(_, stored)| stored),
            entry => self.entries.get(&entry),
        };
        let (status, body) = match (refused, found) {
            (Some(status), _) => (status, None),
            (None, Some(stored)) => (Status::Ok, Some(stored.body.clone())),
            (None, None) if self.entries.is_empty() => (Status::NoLedger, None),
            (None, None) => (Status::NoEntry, None),
        };
        Response {
            txn_id,
            operation: 1,
            outer: status,
            reply: Some(Reply::Read(ReadReply {
                status,
                ledger: read.ledger,
                entry: read.entry,
                body,
                max_lac: None,
                lac_update_unix_ms: None,
            })),
        }
    }

    /// Syncs the journal: everything in it becomes durable and is answered.
    pub(super) fn sync(&mut self, ledger: i64) -> Replies {
        let journal = core::mem::take(&mut self.journal);
        let mut replies = Vec::new();
        for unsynced in journal {
            match unsynced {
                Unsynced::Add { entry, reply } => {
                    if let Some(stored) = self.entries.get_mut(&entry) {
                        stored.durable = true;
                    }
                    let status = Status::Ok;
                    let added = AddReply {
                        status,
                        ledger,
                        entry: Some(entry),
                    };
                    replies.push((
                        reply,
                        Response {
                            txn_id: reply.txn_id,
                            operation: 2,
                            outer: status,
                            reply: Some(Reply::Add(added)),
                        },
                    ));
                }
                Unsynced::Fence { read, reply } => {
                    self.fence_is_durable = true;
                    replies.push((reply, self.read(&read, reply.txn_id, None)));
                }
            }
        }
        replies
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.journal.is_empty()
    }

    /// Loses power: of what was not synced, a random part is there afterwards.
    pub(super) fn crash(&mut self, random: &mut Random) {
        self.is_down = true;
        let unsynced = core::mem::take(&mut self.journal);
        let kept = random.below(unsynced.len() as u64 + 1);
        for (position, operation) in (0..).zip(unsynced) {
            let survives = position < kept;
            match operation {
                Unsynced::Add { entry, .. } => {
                    if let Some(stored) = self.entries.get_mut(&entry) {
                        stored.durable |= survives;
                    }
                }
                Unsynced::Fence { .. } => self.fence_is_durable |= survives,
            }
        }
        self.entries.retain(|_, stored| stored.durable);
        self.fenced = self.fence_is_durable;
    }

    /// Returns the durable body of an entry.
    pub(super) fn durable(&self, entry: EntryId) -> Option<&Bytes> {
        self.entries
            .get(&entry)
            .filter(|it| it.durable)
            .map(|it| &it.body)
    }
}

fn added(txn_id: u64, status: Status, add: &Add) -> Response {
    let reply = AddReply {
        status,
        ledger: add.ledger,
        entry: Some(add.entry),
    };
    Response {
        txn_id,
        operation: 2,
        outer: status,
        reply: Some(Reply::Add(reply)),
    }
}
