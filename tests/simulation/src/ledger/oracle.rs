//! What was promised, and checks that it holds.

use bytes::Bytes;
use distributedlog_bookkeeper::EntryId;
use distributedlog_bookkeeper::entry::EntryCodec;
use distributedlog_bookkeeper::ledger::Fate;
use distributedlog_bookkeeper::metadata::LedgerMetadata;

use super::bookie::Bookie;
use super::clients::bookie_index;
use super::world::LedgerReport;

/// The writer's entries and what it was told of them.
#[derive(Default)]
pub(super) struct Oracle {
    pub(super) payloads: Vec<Bytes>,
    confirmed: i64,
    resolved: Vec<(EntryId, Fate)>,
    /// Ends that recoveries and the writer were told.
    ends: Vec<EntryId>,
}

impl Oracle {
    pub(super) fn appended(&mut self, entry: EntryId, payload: Bytes) {
        assert_eq!(
            entry,
            self.payloads.len() as EntryId,
            "entries are numbered without a hole"
        );
        self.payloads.push(payload);
    }

    /// An entry was confirmed: the ack quorum of the bookies that the stored metadata names have
    /// it.
    pub(super) fn confirmed(
        &mut self,
        entry: EntryId,
        stored: &LedgerMetadata,
        bookies: &[Bookie],
        codec: &EntryCodec,
    ) {
        assert_eq!(
            entry, self.confirmed,
            "entries are confirmed in their order"
        );
        self.confirmed += 1;
        let copies = write_set(stored, entry)
            .filter(|&index| self.is_copy(entry, bookies[index].durable(entry), codec))
            .count();
        assert!(
            copies >= stored.ack_quorum || stored.is_closed(),
            "I5 entry {entry} is confirmed with {copies} copies on bookies that the metadata \
             names: {stored:?}"
        );
    }

    pub(super) fn resolved(&mut self, entry: EntryId, fate: Fate) {
        assert!(
            entry >= self.confirmed,
            "a confirmed entry has no other fate"
        );
        self.resolved.push((entry, fate));
    }

    pub(super) fn ended(&mut self, last: EntryId) {
        self.ends.push(last);
    }

    fn is_copy(&self, entry: EntryId, body: Option<&Bytes>, codec: &EntryCodec) -> bool {
        let Some(body) = body else {
            return false;
        };
        let found = codec.decode(entry, body).expect("nothing damages a body");
        assert_eq!(
            found.payload, self.payloads[entry as usize],
            "copies of entry {entry} differ"
        );
        true
    }

    /// Checks the closed ledger against everything that was promised.
    pub(super) fn check_end(
        &self,
        stored: &LedgerMetadata,
        bookies: &[Bookie],
        codec: &EntryCodec,
        report: &mut LedgerReport,
    ) {
        assert!(stored.is_closed(), "the final recovery closes the ledger");
        let last = stored.last_entry;
        assert!(
            last >= self.confirmed - 1,
            "I1 entry {} was confirmed, and the ledger ends at {last}",
            self.confirmed - 1
        );
        for &end in &self.ends {
            assert_eq!(end, last, "I3 all clients agree on the end");
        }
        for &(entry, fate) in &self.resolved {
            match fate {
                Fate::Written => assert!(entry <= last, "I2 entry {entry} was said to be written"),
                Fate::NotWritten => {
                    assert!(entry > last, "I2 entry {entry} was said to be not written");
                }
                Fate::Unknown => panic!("the ledger was not deleted"),
            }
        }
        for entry in 0..=last {
            let copies = write_set(stored, entry)
                .filter(|&index| !bookies[index].is_down)
                .filter(|&index| self.is_copy(entry, bookies[index].durable(entry), codec))
                .count();
            assert!(
                copies > 0,
                "I1 entry {entry} of 0..={last} cannot be read: {stored:?}"
            );
        }
        let length: usize = self.payloads[..(last + 1) as usize]
            .iter()
            .map(Bytes::len)
            .sum();
        assert_eq!(
            stored.length, length as u64,
            "the stored length is that of all payloads"
        );
        report.confirmed = self.confirmed as u64;
        report.not_written = self
            .resolved
            .iter()
            .filter(|it| it.1 == Fate::NotWritten)
            .count() as u64;
        report.written_by_recovery = (last + 1 - self.confirmed) as u64;
        report.ensemble_changes = stored.segments.len() as u64 - 1;
    }
}

/// Indices of the bookies that store an entry by the metadata.
fn write_set(stored: &LedgerMetadata, entry: EntryId) -> impl Iterator<Item = usize> {
    let ensemble = &stored.segment_of(entry).ensemble;
    let first = entry as usize;
    (0..stored.write_quorum)
        .map(move |offset| bookie_index(&ensemble[(first + offset) % ensemble.len()]))
}
