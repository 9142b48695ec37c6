//! The reports of a set's attempts.

use core::ops::Deref;
use core::slice;

use super::{AttemptReport, MAX_OUTSTANDING};

/// The attempts of a set, oldest first; a slice of [`AttemptReport`]. Bounded: of more than
/// [`MAX_OUTSTANDING`] attempts, the latest are kept. It is stored inline, without an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptReports(heapless::Vec<AttemptReport, MAX_OUTSTANDING>);

impl AttemptReports {
    pub(crate) const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Returns a copy of the reports of a set.
    ///
    /// # Panics
    ///
    /// There are more than a set keeps.
    pub(crate) fn copied(reports: &[AttemptReport]) -> Self {
        let reports = heapless::Vec::from_slice(reports);
        Self(reports.expect("a set keeps at most this many"))
    }

    /// Returns the reports as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[AttemptReport] {
        &self.0
    }

    /// Returns an iterator over the reports, oldest first.
    pub fn iter(&self) -> slice::Iter<'_, AttemptReport> {
        self.0.iter()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends a report; gives it back if there are [`MAX_OUTSTANDING`] already.
    pub(super) fn push(&mut self, report: AttemptReport) -> Result<(), AttemptReport> {
        self.0.push(report)
    }
}

impl Deref for AttemptReports {
    type Target = [AttemptReport];

    fn deref(&self) -> &[AttemptReport] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a AttemptReports {
    type Item = &'a AttemptReport;
    type IntoIter = slice::Iter<'a, AttemptReport>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for AttemptReports {
    type Item = AttemptReport;
    type IntoIter = AttemptReportsIntoIter;

    fn into_iter(self) -> AttemptReportsIntoIter {
        AttemptReportsIntoIter(self.0.into_iter())
    }
}

/// Iterator over the reports of [`AttemptReports`], by value.
#[derive(Clone, Debug)]
pub struct AttemptReportsIntoIter(heapless::vec::IntoIter<AttemptReport, MAX_OUTSTANDING, usize>);

impl Iterator for AttemptReportsIntoIter {
    type Item = AttemptReport;

    fn next(&mut self) -> Option<AttemptReport> {
        self.0.next()
    }
}
