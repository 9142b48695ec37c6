//! Kinds of faults, and the plan that draws them.

use distributedlog_testkit::Random;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$doc])* $kind,)* }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Returns the name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// A connection breaks; any part of the bytes in flight is still delivered.
    BrokenConnection = "broken connections";
    /// Nothing gets through between two machines, in one direction or both, for a while.
    Partition = "partitions";
    /// Everything takes longer between two machines for a while, each time by a different length.
    SlowLink = "slow links";
    /// A process is killed: a writer's, a proxy's, the store's or a reader's.
    Kill = "processes killed";
    /// A machine loses its power; the store's disk loses or tears what was not synced.
    PowerLoss = "machines without power";
    /// The store's machine crashes in the middle of a disk operation, also during recovery.
    DiskCrash = "crashes at a disk operation";
    /// A sync or a write of the disk fails.
    DiskError = "failing syncs and writes";
    /// The disk is full for a while.
    DiskFull = "full disks";
    /// The disk does nothing for a while.
    DiskStall = "stalled disks";
    /// A process stops for a while and resumes with its clock advanced.
    Stall = "stalled processes";
    /// The wall clock of a machine is set, forwards or back.
    ClockJump = "clock jumps";
    /// A proxy is drained, and started again later.
    Drain = "proxies drained";
    /// The operator truncates a stream before a record that it holds, or held in a former
    /// incarnation.
    Truncate = "streams truncated";
    /// The operator deletes a stream and, in half of the cases, creates it again at once; otherwise
    /// the next write creates it.
    Delete = "streams deleted";
}

impl Fault {
    /// Returns the share of runs in which this fault occurs, from 0 to 1. A deletion weakens the
    /// checks of earlier writes, so most runs have none.
    const fn share_of_runs(self) -> f64 {
        match self {
            Self::Delete => 0.15,
            Self::Truncate => 0.25,
            Self::BrokenConnection
            | Self::Partition
            | Self::SlowLink
            | Self::Kill
            | Self::PowerLoss
            | Self::DiskCrash
            | Self::DiskError
            | Self::DiskFull
            | Self::DiskStall
            | Self::Stall
            | Self::ClockJump
            | Self::Drain => 0.4,
        }
    }
}

/// Number of faults of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; Fault::ALL.len()]);

impl FaultCounts {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Returns each kind with its count.
    pub fn each(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL
            .iter()
            .map(|fault| (*fault, self.0[*fault as usize]))
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// Returns the total number of faults.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Kinds of faults that occur in a run, and their rate: many faults of few kinds in one run find
/// bugs that few faults of all kinds do not.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    kinds: Vec<Fault>,
    /// Mean time between two faults, in milliseconds.
    every: u64,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let kinds: Vec<Fault> = Fault::ALL
            .iter()
            .copied()
            .filter(|kind| random.chance(kind.share_of_runs()))
            .collect();
        let every = 50 + random.below(600);
        if random.chance(0.75) {
            return Self { kinds, every };
        }
        // Some bugs need two or three faults in a certain order, soon after each other.
        let kinds = (0..2 + random.below(2))
            .map(|_| Fault::ALL[random.below(Fault::ALL.len() as u64) as usize])
            .collect();
        Self {
            kinds,
            every: 30 + random.below(100),
        }
    }

    /// Returns the fault of this millisecond, or `None`.
    pub(crate) fn next(&self, random: &mut Random) -> Option<Fault> {
        if self.kinds.is_empty() || random.below(self.every) > 0 {
            return None;
        }
        Some(self.kinds[random.below(self.kinds.len() as u64) as usize])
    }
}
