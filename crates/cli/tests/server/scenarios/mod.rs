//! The scenarios of Storyden's own tests of its plugin runner, over HTTP.
//!
//! | scenario | here |
//! |---|---|
//! | 1 lifecycle | [`supervised::lifecycle`] |
//! | 2 error states | [`supervised::recovers_from_a_crash_at_an_event`] |
//! | 3 event subscription | [`supervised::events_reach_the_process`] |
//! | 4 crash on init | [`supervised::crash_at_boot`] |
//! | 5 crash on connect | [`supervised::crash_when_connected`] |
//! | 6 delete a running external plugin | [`external::removed_while_connected`] |
//! | 7 delete without a session | [`supervised::removed_without_having_run`] |
//! | 8 provider none | [`supervised::provider_none`] |
//! | 9 external event subscription | [`external::events_and_token`]; the token is shown once, on purpose: later answers show its beginning |
//! | 10 disconnect and reconnect | [`external::comes_back`] |
//! | 11 set active refused | [`external::is_not_started_from_here`] |
//! | 12 logs refused | [`external::has_no_log`] |
//! | 13 manifest update, subscriptions | [`external::new_manifest_new_subscriptions`] |
//! | 14 manifest of a supervised plugin | [`supervised::manifest_is_its_packages`] |
//! | 15 token cycled | [`external::token_rotated`] |
//! | 16 manifest validation | [`external::manifests_are_validated`] |
//! | 17 configuration lifecycle | [`configuration::lifecycle`] |
//! | 18 validation, connected | [`configuration::validated_and_connected`]; what is not connected takes a configuration unless `connected=required` is asked for, on purpose |
//! | 19 refused configuration | [`configuration::refused`] |
//! | 20 access in the handler | [`configuration::access_from_the_handler`] |
//! | 21 `get_config` | [`configuration::read_by_the_plugin`] |
//! | 22 supervised configuration | [`configuration::reaches_the_process`] |
//! | 23 access key | [`access::key_works`]; roles are the application's, on purpose: it asks `/tokens/introspect` |
//! | 24 verified account | [`access::application_is_told_who_asks`]; there are no accounts here, the application has its own gate |
//! | 25 permissions follow the manifest | [`access::permissions_follow_the_manifest`]; what is added has to be granted first, on purpose |
//! | 26 package update restarts | [`upgrade::running`] |
//! | 27 package update, inactive | [`upgrade::inactive`] |
//! | 28 other manifest id | [`upgrade::of_something_else`] |
//! | 29 download | [`upgrade::package_comes_back`] |
//! | 30 `robot_run` | [`robot::runs`]; it is a method that the application answers |

mod access;
mod configuration;
mod external;
mod robot;
mod supervised;
mod upgrade;
