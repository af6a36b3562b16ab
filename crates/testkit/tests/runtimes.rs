//! The lifecycle of a supervised plugin, the same scenarios in each place where it can live; and what only a remote
//! place can do wrong.

#[path = "runtimes/bed.rs"]
mod bed;
#[path = "runtimes/lifecycle.rs"]
mod lifecycle;
#[path = "runtimes/remote.rs"]
mod remote;

/// Each scenario as a test, once for each place.
macro_rules! in_each_place {
    ($($scenario:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test] async fn $scenario() {
                super::lifecycle::$scenario(super::bed::Place::Local).await;
            })*
        }
        mod sprites {
            $(#[tokio::test] async fn $scenario() {
                super::lifecycle::$scenario(super::bed::Place::Sprites).await;
            })*
        }
    };
}

in_each_place! {
    starts_answers_and_stops,
    is_started_again_after_a_crash,
    is_given_up_after_three_restarts,
    exit_0_is_no_crash,
    a_program_that_is_not_there,
    stops_before_the_process_exists,
    stops_while_connecting,
    stops_during_back_off,
    stops_while_active,
    stops_while_errored,
    is_killed_after_the_grace,
    many_stops_are_all_answered,
    a_start_while_stopping,
    start_and_stop_race,
    state_survives_an_upgrade,
    every_line_is_in_the_log,
    knows_its_environment,
    a_new_host_finds_nothing_running,
    is_gone_when_it_is_uninstalled,
    runs_a_plugin_in_python,
}
