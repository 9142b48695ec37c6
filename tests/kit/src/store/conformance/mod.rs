//! Conformance suite for [`LogStore`]: one named check for each promise of the trait's
//! documentation.
//!
//! The author of a `LogStore` runs the suite with
//! [`log_store_conformance!`](crate::log_store_conformance), which makes one test of each check. It
//! takes an async function that opens an empty store. The function returns the store alone, or
//! together with a value that must live as long as the store: its folder, the server behind it. The
//! crate that uses the macro needs `tokio` with the features `macros`, `rt` and `time`.
//!
//! ```
//! use std::sync::Arc;
//! use distributedlog_store::LogStore;
//! use distributedlog_testkit::store::MemoryStore;
//!
//! async fn open() -> Arc<dyn LogStore> {
//!     MemoryStore::new()
//! }
//!
//! mod memory_store {
//!     distributedlog_testkit::log_store_conformance!(super::open);
//! }
//! # fn main() {}
//! ```
//!
//! The checks need real time for reads that wait; each takes well below a second. They assume a
//! store that has no other users and that nothing disturbs. Two promises are left to each store's
//! own tests: what is durable after a crash, and [`StoreError::Overloaded`], whose limit differs.
//! [`after_reopening`] checks what must hold when a store on a disk is opened again.

mod appends;
mod closing;
mod deletion;
mod ownership;
mod reads;
mod reopening;
mod streams;
mod tools;
mod truncation;
mod waiting;

use core::any::Any;
use std::sync::Arc;

use distributedlog_store::LogStore;
#[allow(unused_imports, reason = "the module's documentation names it")]
use distributedlog_store::StoreError;

pub use self::reopening::after_reopening;

/// A store that the suite tests, with a value that must live as long as the store does.
pub struct OpenedStore {
    store: Arc<dyn LogStore>,
    _guard: Box<dyn Any + Send>,
}

impl OpenedStore {
    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &dyn LogStore {
        &*self.store
    }
}

impl From<Arc<dyn LogStore>> for OpenedStore {
    fn from(store: Arc<dyn LogStore>) -> Self {
        Self {
            store,
            _guard: Box::new(()),
        }
    }
}

impl<G: Any + Send> From<(Arc<dyn LogStore>, G)> for OpenedStore {
    fn from((store, guard): (Arc<dyn LogStore>, G)) -> Self {
        Self {
            store,
            _guard: Box::new(guard),
        }
    }
}

/// Defines [`log_store_conformance!`](crate::log_store_conformance), the module of checks that it
/// calls, and their list from one list of names.
macro_rules! checks {
    ($($subject:ident: $($check:ident)*;)*) => {
        /// The checks, one function each.
        pub mod checks {
            $(pub use super::$subject::{$($check),*};)*
        }

        /// Names of the checks, in the order of the suite.
        pub const NAMES: &[&str] = &[$($(stringify!($check)),*),*];

        checks!(@macro ($) $($($check)*)*);
    };
    (@macro ($d:tt) $($check:ident)*) => {
        /// Makes one `#[tokio::test]` of each check of the
        /// [conformance suite](crate::store::conformance). Takes the path of an async function
        /// that opens an empty store: `async fn() -> Arc<dyn LogStore>`, or
        /// `async fn() -> (Arc<dyn LogStore>, Guard)`.
        #[macro_export]
        macro_rules! log_store_conformance {
            ($d open:path) => {
                $(
                    #[::tokio::test]
                    async fn $check() {
                        let opened =
                            $d crate::store::conformance::OpenedStore::from($d open().await);
                        $d crate::store::conformance::checks::$check(opened.store()).await;
                    }
                )*
            };
        }
    };
}

checks! {
    streams:
        a_created_stream_exists_and_is_empty
        a_stream_that_exists_is_not_created_again
        a_stream_that_does_not_exist_is_not_found
        names_are_listed_page_by_page
        streams_in_short_agree_with_their_descriptions
        streams_are_listed_in_the_order_of_their_names
        a_description_has_the_segments_with_their_counts_and_the_first_and_last_position
        a_segment_that_is_written_is_open_and_the_ones_before_it_are_completed;
    deletion:
        a_deleted_stream_is_not_found
        a_stream_that_is_created_again_is_empty_and_has_another_time_of_creation
        a_stream_that_is_deleted_and_created_many_times_never_repeats_a_time_of_creation
        an_append_to_a_deleted_stream_is_fenced
        an_append_with_a_lease_of_a_deleted_stream_is_fenced_after_it_is_created_again
        a_read_of_the_stream_that_was_created_at_another_time_is_not_found;
    ownership:
        a_stream_has_one_owner_at_a_time
        an_owner_that_acquires_again_fences_its_earlier_lease
        the_same_address_with_another_shard_is_another_owner
        a_released_stream_goes_to_the_owner_that_asks_next
        an_append_with_a_released_lease_is_fenced
        releasing_a_fenced_lease_is_no_error_and_changes_nothing
        epochs_are_never_granted_twice_for_a_name
        each_lease_begins_a_log_segment_with_its_first_append
        streams_are_owned_independently_of_each_other;
    appends:
        entries_get_their_positions_in_the_order_of_the_calls
        appends_to_several_streams_from_several_threads_keep_the_order_of_each_stream
        every_append_is_answered_once_whether_it_succeeds_or_fails
        entries_are_read_back_as_they_were_appended
        an_empty_payload_is_a_record
        a_record_set_takes_one_slot_for_each_of_its_records
        a_control_record_takes_an_entry_but_no_slot
        an_entry_without_records_is_refused
        a_record_set_without_slots_is_refused
        an_entry_that_is_too_large_is_refused_and_nothing_of_it_is_written
        an_entry_has_a_time_that_does_not_go_backwards;
    reads:
        a_read_of_an_empty_stream_is_empty
        a_read_begins_at_its_position
        a_read_behind_the_end_is_empty_and_goes_on_there
        reads_that_follow_the_next_position_deliver_every_record_once
        a_read_stops_at_its_limit_of_bytes
        a_read_returns_an_entry_that_is_larger_than_its_limit
        a_read_that_begins_within_an_entry_leaves_out_the_whole_records_before
        a_read_that_begins_within_a_record_set_delivers_it_whole
        reads_take_nothing_away
        reads_go_on_from_one_log_segment_to_the_next
        an_append_is_visible_to_reads_after_its_answer;
    waiting:
        a_read_that_finds_records_does_not_wait
        a_read_without_wait_returns_at_once
        a_read_whose_time_is_up_returns_an_empty_batch
        a_waiting_read_is_woken_by_an_append
        a_waiting_read_is_woken_by_an_append_to_the_next_log_segment
        a_waiting_read_is_not_ended_by_an_append_to_another_stream
        a_waiting_read_fails_when_the_stream_is_deleted
        a_waiting_read_fails_when_the_stream_is_deleted_and_created_again
        many_reads_of_one_stream_are_woken_by_one_append
        dropping_a_waiting_read_loses_nothing;
    truncation:
        truncation_discards_the_records_before_the_point
        a_truncation_beyond_the_end_means_the_end
        a_truncation_beyond_the_end_keeps_what_is_appended_afterwards
        a_truncation_before_an_earlier_one_changes_nothing
        a_truncation_before_the_first_record_changes_nothing
        a_truncation_within_a_record_set_keeps_the_set_whole
        a_truncation_drops_the_log_segments_that_hold_no_more_records
        appends_go_on_behind_a_truncation_of_everything;
    closing:
        a_closed_store_refuses_every_operation
        closing_again_is_no_error
        closing_answers_the_appends_that_were_accepted
        a_waiting_read_ends_when_the_store_is_closed;
}

#[cfg(test)]
mod tests {
    use super::NAMES;

    /// A check that is written and not listed would never run.
    #[test]
    fn every_check_is_listed() {
        let sources = [
            include_str!("streams.rs"),
            include_str!("deletion.rs"),
            include_str!("ownership.rs"),
            include_str!("appends.rs"),
            include_str!("reads.rs"),
            include_str!("waiting.rs"),
            include_str!("truncation.rs"),
            include_str!("closing.rs"),
        ];
        let written = sources.iter().flat_map(|source| source.lines());
        let written: Vec<&str> = written
            .filter_map(|line| line.strip_prefix("pub async fn "))
            .filter_map(|rest| rest.split('(').next())
            .collect();
        for check in &written {
            assert!(NAMES.contains(check), "{check} is not listed");
        }
        assert_eq!(written.len(), NAMES.len());
    }
}
