use core::time::Duration;
use std::time::SystemTime;

use distributedlog_reader::{MultiStreamReader, ReadFrom, Source};
use distributedlog_store::StreamName;

use super::super::CliError;
use super::super::output::counted;
use super::load::Told;
use super::payload::RecordId;

/// Time before the run from which the streams are read: clocks of this machine and of the store may
/// differ by that much.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// Records of a run that were read back, compared with the outcomes that writers were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReadBack {
    /// Records of the run that were read, each counted once.
    pub(super) records: u64,
    /// Acknowledged records that are missing.
    pub(super) lost: u64,
    /// Records that were delivered more than once although streams were merged.
    pub(super) twice: u64,
    /// Records that are there although their writes were reported as not written.
    pub(super) unexpected: u64,
    /// Records whose outcome was unknown, and that are there.
    pub(super) unknown_written: u64,
    /// Duplicates that merging dropped.
    pub(super) duplicates: u64,
}

impl ReadBack {
    /// Returns true if every record is where its writer was told that it is.
    pub(super) const fn is_right(&self) -> bool {
        self.lost == 0 && self.twice == 0 && self.unexpected == 0
    }

    /// Says what is wrong.
    ///
    /// # Errors
    /// Records are missing, doubled or unexpected.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        if self.is_right() {
            return Ok(());
        }
        let parts = [
            (self.lost, "acknowledged", "missing"),
            (self.twice, "merged", "delivered more than once"),
            (self.unexpected, "failed", "there all the same"),
        ];
        let parts = parts.iter().filter(|(count, ..)| *count > 0);
        let parts = parts.map(|(count, which, what)| {
            format!("{} {what}", counted(*count, &format!("{which} record")))
        });
        let parts: Vec<String> = parts.collect();
        Err(CliError::failure(format!(
            "the streams do not hold what the writers were told: {}",
            parts.join(", ")
        )))
    }
}

/// Compares the records that are read with what their writers were told.
struct Comparison<'a> {
    run: u64,
    told: &'a [Vec<Told>],
    /// Number of times that each record was read; 2 stands for more.
    read: Vec<Vec<u8>>,
}

impl<'a> Comparison<'a> {
    fn new(run: u64, told: &'a [Vec<Told>]) -> Self {
        let read = told.iter().map(|told| vec![0; told.len()]).collect();
        Self { run, told, read }
    }

    fn add(&mut self, payload: &[u8]) {
        let Some(id) = RecordId::read(payload).filter(|id| id.run == self.run) else {
            return;
        };
        let writer = usize::try_from(id.writer).unwrap_or(usize::MAX);
        let number = usize::try_from(id.number).unwrap_or(usize::MAX);
        let read = self.read.get_mut(writer);
        if let Some(count) = read.and_then(|read| read.get_mut(number)) {
            *count = 2.min(*count + 1);
        }
    }

    fn result(&self) -> ReadBack {
        let mut result = ReadBack::default();
        let all = self.told.iter().flatten().zip(self.read.iter().flatten());
        for (told, read) in all {
            let is_there = u64::from(*read > 0);
            result.records += is_there;
            result.twice += u64::from(*read > 1);
            match told {
                Told::Written => result.lost += 1 - is_there,
                Told::NotWritten => result.unexpected += is_there,
                Told::Unknown => result.unknown_written += is_there,
            }
        }
        result
    }
}

/// Reads the streams from the start of the run to their ends, merged, and compares the run's
/// records with what their writers were told: `told` by writer and number. Calls `progress` with
/// the number of records read.
///
/// # Errors
/// The streams cannot be read.
pub(super) async fn read_back(
    source: Source,
    streams: &[StreamName],
    began: SystemTime,
    run: u64,
    told: &[Vec<Told>],
    mut progress: impl FnMut(u64),
) -> Result<ReadBack, CliError> {
    let from = began.checked_sub(CLOCK_DIFFERENCE).unwrap_or(began);
    let mut reader = MultiStreamReader::builder(source)
        .streams(streams.iter().map(StreamName::as_str))
        .from(ReadFrom::Time(from))
        .follow(false)
        .build()
        .map_err(|error| CliError::usage(error.to_string()))?;
    let mut comparison = Comparison::new(run, told);
    let mut delivered = 0_u64;
    while let Some(record) = reader.next().await {
        let record = record.map_err(|error| {
            CliError::failure(format!("the records cannot be read back: {error}"))
        })?;
        comparison.add(&record.record.payload);
        delivered += 1;
        progress(delivered);
    }
    Ok(ReadBack {
        duplicates: reader.stats().merge.duplicates_dropped,
        ..comparison.result()
    })
}

#[cfg(test)]
mod tests {
    use super::super::payload;
    use super::*;

    const RUN: u64 = 9;

    fn record(run: u64, writer: u32, number: u64) -> Vec<u8> {
        let mut record = payload::template(40);
        let id = RecordId {
            run,
            writer,
            number,
        };
        id.write(&mut record);
        record
    }

    #[test]
    fn what_is_read_is_compared_with_what_writers_were_told() {
        use Told::{NotWritten, Unknown, Written};
        let told = [
            vec![Written, Written, NotWritten, Unknown],
            vec![Written, NotWritten, Unknown],
        ];
        let mut comparison = Comparison::new(RUN, &told);
        for (writer, number) in [(0, 0), (0, 3), (1, 0), (1, 0), (1, 1)] {
            comparison.add(&record(RUN, writer, number));
        }
        // Of another run, of no run, and of a writer and a number that this run never had.
        comparison.add(&record(RUN + 1, 0, 1));
        comparison.add(b"short");
        comparison.add(&record(RUN, 7, 0));
        comparison.add(&record(RUN, 0, 4));
        let found = comparison.result();
        let expected = ReadBack {
            records: 4,
            lost: 1,
            twice: 1,
            unexpected: 1,
            unknown_written: 1,
            duplicates: 0,
        };
        assert_eq!(found, expected);
        let error = found.verdict().expect_err("records are wrong");
        let report = error.report(false).expect("it says so");
        assert!(
            report.contains("1 acknowledged record missing, 1 merged record delivered more than")
                && report.contains("1 failed record there all the same"),
            "{report}"
        );
    }
}
