//! Store contract, one test per guarantee, for any implementation.

#[path = "contract/commits.rs"]
mod commits;
#[path = "contract/compaction.rs"]
mod compaction;
#[path = "contract/ranges.rs"]
mod ranges;
#[path = "contract/watches.rs"]
mod watches;

pub(crate) use commits::*;
pub(crate) use compaction::*;
pub(crate) use ranges::*;
pub(crate) use watches::*;

/// Runs all contract tests over one implementation.
macro_rules! suite {
    ($module:ident, $lab:ty) => {
        mod $module {
            crate::contract::tests!($lab:
                a_new_store_is_empty_and_has_a_revision
                commits_receive_ascending_revisions
                all_changes_of_a_transaction_share_one_revision
                a_commit_is_seen_by_the_next_read
                acknowledged_commits_are_there_after_reopening
                a_known_revision_is_answered_unchanged
                a_guard_on_absence_holds_only_when_the_key_has_no_value
                a_guard_on_a_revision_holds_only_for_that_revision
                a_refusal_changes_nothing_and_hands_back_what_is_there
                guards_may_look_at_keys_that_do_not_change
                a_transaction_without_changes_answers_the_current_revision
                deleting_a_missing_key_is_no_change
                a_deleted_key_is_missing_and_can_be_made_again
                concurrent_increments_under_guards_lose_nothing
                only_one_of_many_concurrent_creations_wins
                a_commit_that_nobody_waits_for_harms_nobody
                keys_that_cannot_be_stored_are_invalid
                a_key_that_changes_twice_in_a_transaction_is_invalid
                a_value_beyond_the_limit_is_too_large
                empty_and_large_values_come_back_unchanged
                a_range_is_ordered_and_stays_under_its_prefix
                a_range_at_a_revision_sees_exactly_the_commits_up_to_it
                a_range_in_the_future_is_refused
                a_page_ends_with_the_entry_that_fills_it
                pages_at_one_revision_fit_together_after_later_writes
                a_page_that_starts_outside_of_its_prefix_stays_inside
                a_watch_delivers_every_later_event_in_order_exactly_once
                a_watch_sees_only_its_prefix
                a_watch_may_resume_at_the_revision_it_reached
                the_revision_of_a_watch_moves_past_foreign_commits
                a_watch_from_the_future_waits
                a_watch_that_is_dropped_while_waiting_loses_nothing
                a_batch_never_splits_a_transaction
                events_carry_the_state_that_they_replaced
                watchers_beside_concurrent_writers_agree
                below_the_compaction_point_ranges_and_watches_are_refused
                the_compaction_point_itself_stays_readable
                compaction_keeps_the_present_whatever_its_age
                a_large_compaction_leaves_the_present_and_the_later_past
                commits_go_on_while_a_compaction_runs
                compacting_again_or_further_back_is_no_error
                compacting_the_future_is_refused
                a_watch_that_falls_behind_the_compaction_point_is_told
                compaction_survives_reopening
                a_closed_store_ends_its_watches
                a_store_that_works_is_healthy
                the_latest_revision_is_never_behind_what_was_seen
            );
        }
    };
}
pub(crate) use suite;

/// Declares one test for each name.
macro_rules! tests {
    ($lab:ty: $($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            crate::contract::$name(<$lab as crate::harness::Lab>::start().await).await;
        }
    )*};
}
pub(crate) use tests;
