//! What goes wrong, and when.

use distributedlog_testkit::Random;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$doc])* $kind,)* }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    /// A connection breaks, with any part of what was under way delivered.
    BrokenConnection = "broken connections";
    /// Between two machines nothing gets through, in one direction or both, for a while.
    Partition = "partitions";
    /// Between two machines everything takes longer for a while, by a different length each time.
    SlowLink = "slow links";
    /// A process is killed: a writer's, a proxy's, the store's or a reader's.
    Kill = "processes killed";
    /// A machine loses its power; the store's disk loses or tears what was not synced.
    PowerLoss = "machines without power";
    /// The store's machine goes off in the middle of an operation of its disk, also while it
    /// recovers.
    DiskCrash = "crashes at a disk operation";
    /// A sync or a write of the disk fails.
    DiskError = "failing syncs and writes";
    /// The disk is full for a while.
    DiskFull = "full disks";
    /// The disk does nothing for a while.
    DiskStall = "stalled disks";
    /// A process does nothing for a while, and then finds its clock gone on.
    Stall = "stalled processes";
    /// Somebody sets a machine's time of day, forwards or back.
    ClockJump = "clock jumps";
    /// A proxy is asked to finish and go, and is started again later.
    Drain = "proxies drained";
    /// Somebody truncates a stream before a record that it holds, or held in a former life.
    Truncate = "streams truncated";
    /// Somebody deletes a stream, and perhaps creates it anew at once; if not, the next write does.
    Delete = "streams deleted";
}

impl Fault {
    /// In which share of the runs it happens. After a deletion less can be asked of what was
    /// written before, so most runs have none.
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

/// How often each kind happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; Fault::ALL.len()]);

impl FaultCounts {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Each kind and how often it happened.
    pub fn each(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL
            .iter()
            .map(|fault| (*fault, self.0[*fault as usize]))
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Which kinds happen in a run, and how often: many of few kinds in one run find what few of all
/// kinds do not.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    kinds: Vec<Fault>,
    /// How many milliseconds lie between two faults on average.
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
        // What takes two or three faults in a certain order, soon after each other.
        let kinds = (0..2 + random.below(2))
            .map(|_| Fault::ALL[random.below(Fault::ALL.len() as u64) as usize])
            .collect();
        Self {
            kinds,
            every: 30 + random.below(100),
        }
    }

    /// What goes wrong in this millisecond, if anything does.
    pub(crate) fn next(&self, random: &mut Random) -> Option<Fault> {
        if self.kinds.is_empty() || random.below(self.every) > 0 {
            return None;
        }
        Some(self.kinds[random.below(self.kinds.len() as u64) as usize])
    }
}
