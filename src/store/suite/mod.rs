//! What every backend does, as tests: one suite, run on each of them by [`store_suite`].
//!
//! A file is about a verb, or about verbs that belong together. A new behaviour is a function in
//! its file and a line in the table below; every backend has it then.

pub(crate) mod accept;
pub(crate) mod agent_events;
pub(crate) mod claim;
pub(crate) mod frames;
pub(crate) mod keys;
pub(crate) mod life;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod model;
pub(crate) mod receipts;
pub(crate) mod received;
pub(crate) mod record;
pub(crate) mod rejected;
pub(crate) mod retention;
pub(crate) mod samples;
pub(crate) mod webhooks;

use std::sync::Arc;

use super::Store;

/// Where a store lies, so that it can be opened, closed, and opened again.
pub(crate) trait TestStore {
    /// Opens the store; the one opened before must have been closed.
    fn open(&self) -> Arc<dyn Store>;

    /// From now on the database takes no [`REFUSED`] in this column of this table.
    fn refuse(&self, table: &str, column: &str);
}

/// A text that a database can be made to refuse, whatever it takes otherwise.
pub(crate) const REFUSED: &str = "sip:refused@example.com";

/// Makes a test of every behaviour, on the test store that the given function makes.
macro_rules! store_suite {
    ($test_store:path) => {
        $crate::store::suite::store_suite! { $test_store;
            agent_events {
                events_of_agents_are_in_the_log_in_their_order
                events_of_agents_are_removed_in_steps
            }
            accept {
                a_message_is_read_back_whole
                verbs_take_effect_in_the_order_of_the_calls
                what_is_taken_in_may_begin_in_the_same_call
                a_message_handed_over_twice_is_taken_in_once
            }
            keys {
                a_key_makes_a_repeated_request_the_same_request
                twenty_clients_with_one_key_make_one_message
                keys_outlive_a_restart_and_are_forgotten_in_steps
            }
            record {
                events_move_their_message_on
                an_end_that_nobody_sent_is_of_the_account_that_sent_last
                nothing_follows_a_terminal_event
            }
            log {
                the_log_reads_the_same_from_memory_and_from_the_disk
                whatever_an_event_says_it_reads_the_same_after_a_restart
                the_log_is_read_in_pages
                the_log_is_read_back_from_its_end_and_from_anywhere
                what_a_filter_holds_back_is_passed_over_on_the_way_back
                a_page_of_the_log_stays_below_4_mib
                the_events_of_one_message_are_read_in_pages
                look_ups_do_not_wait_behind_readers_that_match_nothing
                look_ups_do_not_wait_behind_pages
                filters_let_pass_what_they_say
                a_reader_sees_every_event_once_while_writers_go_on
                an_event_can_be_read_as_soon_as_it_is_told_of
            }
            claim {
                what_was_left_is_handed_out_once_oldest_first
                what_this_process_took_in_is_never_claimed
                a_message_keeps_its_class
            }
            messages {
                messages_that_are_gone_are_left_out_of_a_load
                messages_are_listed_newest_first
                lists_are_filtered
                a_page_of_messages_stays_below_4_mib
                a_message_is_listed_by_the_account_that_sent_it
            }
            retention {
                purging_takes_what_ended_and_leaves_what_waits
                numbers_go_on_after_everything_was_purged
                bodies_are_discarded_once_a_message_ended
                a_step_changes_no_more_rows_than_it_was_told_to
                a_step_that_meets_no_end_goes_on_behind_what_it_looked_at
            }
            rejected {
                what_is_rejected_harms_only_what_brought_it
                a_rejected_key_belongs_to_the_next_who_brings_it
                an_event_that_is_rejected_lets_the_others_pass
                an_endpoint_that_is_rejected_lets_the_others_pass
                deliveries_that_are_rejected_are_left_out_of_a_plan
            }
            received {
                a_received_message_is_an_event_and_found_by_its_id
                a_request_that_comes_again_is_taken_in_once
                what_comes_in_keeps_its_order_among_what_is_sent
                an_answer_names_a_message_that_its_account_sent
                a_reply_is_told_where_its_message_came_from
                received_messages_are_listed_newest_first
                a_page_of_received_messages_stays_below_4_mib
                what_is_erased_is_gone_from_every_face_of_the_log
                received_messages_are_removed_in_steps_and_their_keys_later
                a_received_message_that_is_rejected_lets_the_others_pass
            }
            receipts {
                a_receipt_joins_the_events_of_its_message_before_and_after_its_end
                each_kind_is_reported_once_for_a_recipient
                receipts_of_messages_that_an_account_did_not_send_are_unknown
                a_receipt_of_the_target_settles_and_no_other
                receipts_go_with_their_message
                a_receipt_that_is_rejected_lets_the_others_pass
            }
            frames {
                frames_are_read_back_with_their_message_and_are_there_once
                frames_are_forgotten_in_steps_oldest_first
                frames_go_with_their_message
                frames_of_what_is_erased_are_erased_and_never_kept_again
            }
            life {
                an_epoch_lasts
                closing_makes_durable_what_was_handed_over
            }
            webhooks {
                an_endpoint_is_read_back_whole
                an_endpoint_is_changed_piece_by_piece
                a_secret_is_rotated_and_the_one_before_kept_for_a_while
                an_endpoint_is_disabled_for_the_first_cause_and_begins_anew
                there_are_no_more_endpoints_than_may_be
                endpoints_are_listed_in_pages_oldest_first
                an_endpoint_sees_events_from_its_creation_on
                the_log_is_planned_once
                a_plan_made_from_other_endpoints_is_not_carried_out
                events_of_a_message_go_out_one_after_the_other
                what_is_due_is_told_queue_by_queue
                a_delivery_that_fails_for_good_lets_the_next_one_pass
                attempts_are_kept_and_bounded
                an_endpoint_fails_from_its_first_failure_to_its_next_success
                a_delivery_can_be_begun_anew
                what_waits_for_its_next_attempt_is_hastened_in_steps
                deliveries_are_listed_newest_first
                what_is_due_is_read_in_pages_of_bytes
                a_page_of_deliveries_stays_below_4_mib
                what_failed_and_what_was_missed_is_recovered_in_steps
                recoveries_are_merged
                deliveries_of_a_deleted_endpoint_go_in_steps
                deliveries_that_ended_are_forgotten_in_steps
                events_that_were_not_planned_are_not_purged
                events_carry_the_webhook_of_their_message
                what_is_due_carries_the_trace_of_its_message
            }
            model {
                random_histories_agree_with_a_model
            }
        }
    };
    ($test_store:path; $($file:ident { $($behaviour:ident)* })*) => {
        $($(
            #[tokio::test]
            async fn $behaviour() {
                let test_store = $test_store();
                $crate::store::suite::$file::$behaviour(&test_store).await;
            }
        )*)*
    };
}
pub(crate) use store_suite;
