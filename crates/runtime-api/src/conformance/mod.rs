//! What every runtime must do, as tests. An implementation gives a [`Subject`] and takes all cases with
//! [`conformance_tests!`](crate::conformance_tests), so that none can be left out.

mod cases;
mod subject;

pub use cases::*;
pub use subject::{Behaviour, Subject};

/// One test for each case of the suite. The expression makes a fresh [`Subject`]; it may be awaited.
///
/// ```ignore
/// dedi_runtime_api::conformance_tests!(Host::new().subject().await);
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($subject:expr) => {
        $crate::conformance_tests!(@each $subject =>
            ensure_repeated_is_one_replica
            ensure_starts_no_launch_anew_that_has_ended
            ensure_refuses_another_mark_for_a_known_replica
            ensure_names_a_model_that_is_not_to_be_had
            remove_of_a_gone_replica_succeeds
            remove_with_a_foreign_mark_touches_nothing
            list_shows_stopping_until_the_last_process_is_gone
            list_says_on_which_node_and_how_far_apart
            end_keeps_the_record_until_it_is_removed
            exit_and_log_are_read_after_the_end
            log_is_followed_from_a_place_and_forgotten
            changed_is_only_a_hint
            inventory_names_each_device_once
        );
    };
    (@each $subject:expr => $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let subject = $subject;
                $crate::conformance::$case(&subject).await;
            }
        )*
    };
}
