use distributedlog::StreamIndex;
use distributedlog::merge::{MergeSettings, SeenSets, Verdict};
use distributedlog::wire::record_set::SetIdentity;
use distributedlog_testkit::model::MergedReader;

/// The merged reader's memory of what it delivered, which decides about every copy that is stored.
#[derive(Debug)]
pub(super) struct Reader {
    seen: SeenSets,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { seen: SeenSets::new(MergeSettings::default()) }
    }
}

impl MergedReader for Reader {
    fn meet(&mut self, _: StreamIndex, _: u64, identity: Option<SetIdentity>) -> bool {
        match identity.map_or(Verdict::Deliver, |set| self.seen.judge(set, 0, 1)) {
            Verdict::Deliver | Verdict::DeliverUnknown => true,
            Verdict::Copy => false,
        }
    }
}
