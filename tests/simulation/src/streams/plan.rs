//! Settings and faults of a run, drawn from its seed.

use core::time::Duration;

use distributedlog_store::bookkeeper::BookKeeperSettings;
use distributedlog_testkit::Random;

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bookie's process dies, and is started again.
    BookieDown,
    /// A bookie answers nothing for a while.
    BookieSilent,
    /// A bookie takes no entries for a while.
    BookieReadOnly,
    /// A bookie is lost with its disk.
    BookieLost,
    /// Journals and networks are slow for a while.
    Slow,
    /// Replies of ZooKeeper are lost for a while.
    ZooKeeper,
    /// A session ends.
    Expire,
    /// ZooKeeper cannot be reached from a process for a while.
    Partition,
    /// A bookie cannot be reached from a process for a while.
    Cut,
    /// A process is cut off from everything for a while.
    Pause,
    /// A process is killed, and another one started in its place.
    Kill,
}

const KINDS: [Kind; 11] = [
    Kind::BookieDown,
    Kind::BookieSilent,
    Kind::BookieReadOnly,
    Kind::BookieLost,
    Kind::Slow,
    Kind::ZooKeeper,
    Kind::Expire,
    Kind::Partition,
    Kind::Cut,
    Kind::Pause,
    Kind::Kill,
];

/// What a run consists of.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) processes: u16,
    pub(super) bookies: u16,
    pub(super) streams: usize,
    pub(super) settings: BookKeeperSettings,
    /// Time of faults.
    pub(super) duration: Duration,
    /// Mean time between two faults.
    pub(super) interval: Duration,
    pub(super) kinds: Vec<Kind>,
    /// Mean pause of a writer between two actions.
    pub(super) pace: Duration,
    /// One in so many requests to ZooKeeper is disturbed while they are.
    pub(super) zookeeper_rate: u64,
    /// True if streams are deleted and created again.
    pub(super) deletes: bool,
    /// True if streams are truncated.
    pub(super) truncates: bool,
}

impl Plan {
    pub(super) fn new(random: &mut Random) -> Self {
        let ms = |random: &mut Random, low: u64, high: u64| {
            random.between(Duration::from_millis(low), Duration::from_millis(high))
        };
        let quorums = [(3, 3, 2), (3, 3, 2), (3, 2, 2), (3, 3, 3), (2, 2, 1)];
        let (ensemble_size, write_quorum, ack_quorum) = quorums[random.index(quorums.len())];
        let bookies = 3 + random.below(3) as u16;
        let settings = BookKeeperSettings {
            ensemble_size,
            write_quorum,
            ack_quorum,
            compress_entries: random.one_in(4),
            segment_bytes: 500 << random.below(6),
            pipeline: 1 + random.index(4),
            entry_bytes: 200 << random.below(6),
            append_timeout: ms(random, 1_500, 8_000),
            session_timeout: ms(random, 3_000, 8_000),
            add_timeout: ms(random, 200, 2_000),
            read_timeout: ms(random, 500, 3_000),
            control_delay: random.between(Duration::ZERO, Duration::from_millis(20)),
            retention: random.one_in(4).then(|| ms(random, 1_000, 8_000)),
            ..BookKeeperSettings::default()
        };
        // Few kinds in quick succession, or many of them.
        let few = random.one_in(3);
        let mut kinds: Vec<Kind> = KINDS
            .into_iter()
            .filter(|_| random.below(10) < if few { 3 } else { 6 })
            .collect();
        // A copy must be left, and bookies for new ledgers.
        if ack_quorum < 2 || usize::from(bookies) <= ensemble_size {
            kinds.retain(|it| *it != Kind::BookieLost);
        }
        Self {
            processes: 2 + random.below(2) as u16,
            bookies,
            streams: 1 + random.index(3),
            settings,
            duration: ms(random, 8_000, 25_000),
            interval: if few {
                ms(random, 100, 600)
            } else {
                ms(random, 300, 2_500)
            },
            kinds,
            pace: ms(random, 5, 150),
            zookeeper_rate: 2 + random.below(30),
            deletes: random.one_in(3),
            truncates: random.one_in(2),
        }
    }
}
