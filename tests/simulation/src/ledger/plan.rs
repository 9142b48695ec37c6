//! Everything about a run that its seed decides in advance.

use core::time::Duration;

use distributedlog_bookkeeper::entry::DigestType;
use distributedlog_bookkeeper::ledger::WriterSettings;
use distributedlog_bookkeeper::metadata::{BookieId, Format, LedgerMetadata, LedgerState, Segment};
use distributedlog_testkit::Random;

/// Password of the ledger.
pub(super) const PASSWORD: &[u8] = b"secret";

/// A run.
pub(super) struct Plan {
    pub(super) bookies: usize,
    pub(super) metadata: LedgerMetadata,
    pub(super) digest: DigestType,
    pub(super) appends: u64,
    pub(super) append_pause_max: Duration,
    pub(super) settings: WriterSettings,
    /// One bookie may be lost with its disk in the middle.
    pub(super) loses_a_bookie: bool,
    /// Time at which faults end.
    pub(super) heals_at_ms: u64,
    pub(super) faults: u64,
    pub(super) recoveries: u64,
    pub(super) writer_end: WriterEnd,
    /// Of a thousand messages, so many are lost with their connection.
    pub(super) losses_per_mille: u64,
    /// Of a hundred operations of ZooKeeper, so many lose their reply.
    pub(super) unknown_percent: u64,
    pub(super) slowest_ms: u64,
}

/// The end of the writer's process, if it ends before the final recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriterEnd {
    /// It goes on until another client takes the ledger over.
    None,
    Killed,
    Closes,
    Aborts,
}

pub(super) fn bookie_id(index: usize) -> BookieId {
    BookieId::new(format!("bookie-{index}:3181"))
}

impl Plan {
    pub(super) fn new(random: &mut Random) -> Self {
        const QUORUMS: [(usize, usize, usize); 7] = [
            (3, 3, 2),
            (3, 3, 2),
            (3, 3, 2),
            (3, 2, 2),
            (5, 3, 2),
            (4, 3, 3),
            (3, 3, 1),
        ];
        let (ensemble, write, ack) = QUORUMS[random.index(QUORUMS.len())];
        let loses_a_bookie = ack >= 2 && random.one_in(3);
        // An entry that must be on all bookies of its write quorum needs a spare one for a lost
        // one.
        let spares = random
            .index(4)
            .max(usize::from(loses_a_bookie && write == ack));
        let bookies = ensemble + spares;
        let digests = [DigestType::Crc32, DigestType::Crc32c, DigestType::Mac];
        let digest = digests[random.index(3)];
        let format = if random.one_in(2) {
            Format::Text
        } else {
            Format::Binary
        };
        let mut order: Vec<usize> = (0..bookies).collect();
        for index in (1..order.len()).rev() {
            order.swap(index, random.index(index + 1));
        }
        let members = order[..ensemble]
            .iter()
            .map(|&index| bookie_id(index))
            .collect();
        let ends = [
            WriterEnd::None,
            WriterEnd::Killed,
            WriterEnd::Closes,
            WriterEnd::Aborts,
        ];
        Self {
            bookies,
            metadata: metadata(format, digest, (ensemble, write, ack), members),
            digest,
            appends: 20 + random.below(150),
            append_pause_max: Duration::from_millis(1 + random.below(60)),
            settings: WriterSettings {
                max_pending_entries: 4 + random.index(60),
                add_timeout: Duration::from_millis(300 + random.below(1_500)),
                // No longer than the above: patience with bookies that stall hides bugs.
                stall_timeout: Duration::ZERO,
                retry_interval: Duration::from_millis(200 + random.below(2_000)),
                ..WriterSettings::default()
            },
            loses_a_bookie,
            heals_at_ms: 3_000 + random.below(6_000),
            faults: random.below(14),
            recoveries: random.below(4),
            writer_end: ends[random.index(4)],
            losses_per_mille: [0, 0, 3, 15][random.index(4)],
            unknown_percent: [0, 5, 30][random.index(3)],
            slowest_ms: [3, 10, 80, 400][random.index(4)],
        }
    }
}

fn metadata(
    format: Format,
    digest: DigestType,
    (ensemble_size, write_quorum, ack_quorum): (usize, usize, usize),
    ensemble: Vec<BookieId>,
) -> LedgerMetadata {
    LedgerMetadata {
        format,
        ensemble_size,
        write_quorum,
        ack_quorum,
        state: LedgerState::Open,
        last_entry: -1,
        length: 0,
        segments: vec![Segment {
            first_entry: 0,
            ensemble,
        }],
        digest: Some(digest),
        password: Some(PASSWORD.into()),
        created_unix_ms: None,
        custom: [("application".to_owned(), "simulation".into())].into(),
        creator_token: None,
        unknown: Default::default(),
    }
}
