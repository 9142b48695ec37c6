use bytes::Bytes;
use distributedlog::wire::record_set::SetIdentity;
use distributedlog::{Dlsn, StreamIndex};
use distributedlog_testkit::model::MergedReader;

use crate::reader::{MergeSettings, Record, SeenSets, Verdict};

/// The merged reader's memory of what it delivered, which decides about every copy that is stored.
#[derive(Debug)]
pub(super) struct Reader {
    seen: SeenSets,
    entry: i64,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { seen: SeenSets::new(MergeSettings::default()), entry: 0 }
    }
}

impl MergedReader for Reader {
    fn meet(&mut self, _: StreamIndex, set: u64, identity: Option<SetIdentity>) -> bool {
        self.entry += 1;
        let record = Record {
            dlsn: Dlsn::new(1, self.entry, 0),
            payload: Bytes::copy_from_slice(&set.to_be_bytes()),
            written_unix_ms: 0,
            set: identity,
            set_slot: 0,
            set_slots: 1,
        };
        match self.seen.judge(&record) {
            Verdict::Deliver | Verdict::DeliverUnknown => true,
            Verdict::Copy => false,
        }
    }
}
