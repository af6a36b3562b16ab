//! Spawning a program that serves gRPC: how it becomes ready, how that fails, what it is born with, what is left in
//! its folder, and whose port it is.
//!
//! # Where each scenario is
//!
//! The spec's list, in its order. `output`, `life` and `start` are `tests/grpc_output.rs`, `tests/grpc_life.rs` and
//! `tests/grpc_start.rs`, `serving` and `peers` are `tests/serving.rs` and `tests/grpc_peers.rs`; the rest is here.
//!
//! | scenario | test |
//! |---|---|
//! | ready immediately | `ready::at_once` |
//! | slow constructor | `ready::after_a_slow_constructor`, `start: early::*` |
//! | not ready for a while | `ready::after_it_was_not` |
//! | never ready, with the last reason | `failures::never_ready`, `start: hosted::never_ready` |
//! | never listens | `failures::never_listens` |
//! | accepts but is silent | `failures::accepts_and_is_silent`, `failures::its_pings_hang`, `ready::after_pings_that_hang` |
//! | exits before it is ready | `failures::ends_before_it_is_ready`, `failures::ends_when_it_is_pinged` |
//! | killed by a signal | `failures::is_killed_before_it_is_ready`, `life: stops::exits_are_values` |
//! | executable missing, not executable; folder missing | `failures::there_is_no_such_program`, `failures::it_may_not_be_executed`, `failures::there_is_no_such_folder` |
//! | ignores TERM at a failed start | `failures::is_deaf_and_never_ready` |
//! | long lines, no newline, binary, bad JSON, wrong types | `output: lines::*` |
//! | every level name, attributes, `time`, exceptions of the JVM | `output: records::*` |
//! | a burst and an exit: no loss | `output: bursts::the_last_lines_before_a_crash` |
//! | stdout and stderr at once | `output: bursts::both_outputs_at_once` |
//! | precedence of the environment, `LOG_LEVEL` | `environment::the_callers_variables_win`, `environment::levels` |
//! | no working folder; relative folder | `ready::without_a_working_folder`, `environment::a_relative_folder` |
//! | pid file stale, own, foreign, negative, garbage, newline | `places::pid_files_of_others_are_left_alone`, `places::leases_that_make_no_sense`, `places::what_a_dead_host_left_is_reaped` |
//! | two hosts, one folder | `places::two_hosts_share_a_folder` |
//! | a hundred at once, with identity check | `ports::a_hundred_at_once` |
//! | port stolen between choice and listening | `ports::stolen_before_it_listens`, `ports::a_stranger_answers`, `ports::a_stranger_shares_the_port` |
//! | grandchild behind a script: stop, host killed | `life: stops::a_family_behind_a_script`, `life: death::*` |
//! | host killed: gone within 100 ms | `life: death::killed`, `start: death::*` |
//! | plugin under another user | `extremes::another_user`, `start: death::under_another_user`, `start: death::another_user_is_no_death` |
//! | cancelled during the start, and while it runs | `failures::the_spawn_is_dropped`, `failures::the_spawn_is_dropped_early`, `life: stops::dropped` |
//! | stop with a call and a stream under way | `start: drain::calls_under_way`, `start: hosted::a_stop_drains` |
//! | stopped by SIGSTOP | `life: calls::a_stopped_plugin_is_noticed`, `extremes::stopped_at_the_start` |
//! | crash in a call; restarts; the client keeps working | `life: stops::exits_are_values`, `life: calls::streams_that_break`, `serving` |
//! | extra client, additional service, raw handler | `ready::further_clients`, `start: wire::more_on_the_port` |
//! | Connect, gRPC, gRPC-Web over every HTTP; wrong requests | `start: protocols::*` |
//! | gzip both ways; units of timeouts; 32 MiB | `start: wire::gzip`, `start: wire::timeouts`, `life: calls::large_messages`, `start: hosted::gzip_and_size` |
//! | panic in a handler | `start: wire::a_panic`, `start: hosted::logs` |
//! | reflection | `start: wire::reflection` |
//! | calls without the token | `start: token::*` |
//! | other languages | `peers` |
//!
//! # Where each defect of the original is shown not to be ours
//!
//! By the spec's numbers.
//!
//! | defect | test |
//! |---|---|
//! | 6.1 orphan after its parent's death | `start: death::*`, `life: death::*` |
//! | 6.2 grandchildren leak | `ready::behind_a_script`, `life: stops::a_family_behind_a_script`, `life: death::*` |
//! | 6.3 a stale pid file kills a stranger | `places::pid_files_of_others_are_left_alone` |
//! | 6.4 negative and zero pids | `places::pid_files_of_others_are_left_alone` |
//! | 6.5 two hosts, one folder | `places::two_hosts_share_a_folder`, `places::two_plugins_share_a_folder` |
//! | 6.6 the wrong neighbour's port | `ports::*`, `ports::a_hundred_at_once` above all |
//! | 6.7 no authentication | `start: token::*`, `environment::tokens`, `start: hosted::over_the_socket` |
//! | 6.8 EPERM taken for death | `start: death::under_another_user` |
//! | 6.9 a long line stops the reader | `output: lines::long_lines` |
//! | 6.10 the last lines are lost | `output: bursts::the_last_lines_before_a_crash` |
//! | 6.11 the exit status is lost | `failures::ends_before_it_is_ready`, `life: stops::exits_are_values` |
//! | 6.12 a hung ping takes all the time | `ready::after_pings_that_hang` |
//! | 6.13 leaks | `failures::failures_cost_nothing` |
//! | 6.14 a failed start leaves a process | `failures::is_deaf_and_never_ready` |
//! | 6.15 a grandchild holds the output | `output: bursts::a_family_that_holds_the_output` |
//! | 6.16 kill after reap | `life: stops::after_the_end_nobody_is_hit` |
//! | 6.17 cancelled means killed | `life: stops::*`, a stop has a grace |
//! | 6.18 no supervision | `serving` |
//! | 6.19 no drain | `start: drain::*` |
//! | 6.20 no limits | `life: calls::limits_*`, `start: wire::limits` |
//! | 6.21 no keep-alive | `life: calls::a_stopped_plugin_is_noticed` |
//! | 6.22 a pid file with a newline | `places::pid_files_of_others_are_left_alone` |
//! | 6.23 relative folders | `environment::a_relative_folder` |
//! | 6.24 the wrong service is asked for ever | `failures::serves_something_else`, `start: exits::by_hand` |
//! | 6.25 polling | `ready::at_once`; measured by the benchmark |
//! | 6.26 attributes override the host's | `output: records::attributes_*`, `output: records::levels`, `output: records::exceptions` |
//! | 6.27 order of the two outputs | `output: bursts::both_outputs_at_once` |
//! | 6.28 type errors are panics | types of the API; `start: exits::*` |
//! | 6.29 all of the environment | `environment::only_what_is_allowed` |
//! | 6.30 a handle without an end | `life: stops::dropped` |
//! | 6.31 a test that looks at a fixed port | the addresses here are those that the plugins were given |
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "grpc_spawn/environment.rs"]
mod environment;
#[path = "grpc_spawn/extremes.rs"]
mod extremes;
#[path = "grpc_spawn/failures.rs"]
mod failures;
#[path = "grpc_spawn/places.rs"]
mod places;
#[path = "grpc_spawn/ports.rs"]
mod ports;
#[path = "grpc_spawn/ready.rs"]
mod ready;

const RIG: &str = env!("CARGO_BIN_EXE_grpc_rig");
