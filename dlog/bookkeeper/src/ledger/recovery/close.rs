use super::tail::Tail;
use super::{Decision, LedgerMetadata, LedgerState};

impl Tail {
    /// Closes a node that is still in recovery at the end that was found, with the bookies that
    /// were replaced. Another client's end is adopted, also if another one was found here.
    pub(super) fn decide_close(&self, stored: &LedgerMetadata) -> Decision {
        let may_close = stored.state == LedgerState::InRecovery;
        #[cfg(seeded_bugs)]
        let may_close = may_close
            || crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::RecoveryOverwritesEnd)
            || crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::RecoveryDoesNotMark)
                && stored.state == LedgerState::Open;
        if !may_close {
            return Decision::Adopt;
        }
        let mut next = stored.clone();
        next.state = LedgerState::Closed;
        next.last_entry = self.confirmed;
        next.length = self.length.unwrap_or(0);
        for segment in &self.segments {
            // First entries ascend; the last stored segment may begin where a replacement does.
            match next.segments.last_mut() {
                Some(last) if last.first_entry >= segment.first_entry => *last = segment.clone(),
                Some(_) | None => next.segments.push(segment.clone()),
            }
        }
        Decision::Replace(next)
    }
}
