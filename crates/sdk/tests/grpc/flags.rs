//! Flags, environment, exit codes.

use crate::lab::{Lab, run};
use crate::wire::{Line, text};
use http::Version;

const PORT: &str = "http://127.0.0.1:0";

#[tokio::test]
async fn what_is_missing_is_named_and_a_person_is_told_what_to_do() {
    let (code, out, err) = run(&[], &[]).await;
    assert_eq!((code, out.as_str()), (80, ""));
    let (first, rest) = err.split_once('\n').unwrap();
    assert_eq!(
        first,
        "grpc_lab: error: missing flags: --bind=BIND, --needed=NEEDED"
    );
    assert!(rest.contains("--bind http://127.0.0.1:8080"), "{rest}");

    let (code, _, err) = run(&[("LAB_NEEDED", "x"), ("FTL_BIND", "")], &[]).await;
    assert_eq!(code, 80);
    assert!(
        err.starts_with("grpc_lab: error: missing flags: --bind=BIND\n"),
        "{err}"
    );

    let (code, _, err) = run(&[("FTL_BIND", PORT)], &[]).await;
    assert_eq!(
        (code, err.as_str()),
        (80, "grpc_lab: error: missing flags: --needed=NEEDED\n")
    );
}

#[tokio::test]
async fn what_is_wrong_is_80() {
    let base = [("LAB_NEEDED", "x"), ("FTL_BIND", PORT)];
    for arguments in [
        &["--nope"][..],
        &["positional"],
        &["--bind", "nowhere"],
        &["--bind=http://127.0.0.1"],
        &["--bind=http://127.0.0.1:99999"],
    ] {
        let (code, _, err) = run(&base, arguments).await;
        assert_eq!(code, 80, "{arguments:?}: {err}");
        assert!(err.starts_with("grpc_lab: error: "), "{err}");
        assert!(!err.starts_with("grpc_lab: error: error"), "{err}");
    }
}

#[tokio::test]
async fn what_fails_later_is_1() {
    let base = [("LAB_NEEDED", "x"), ("FTL_BIND", PORT)];
    let with = |name, value| [base.to_vec(), vec![(name, value)]].concat();
    for (variables, says) in [
        (with("LOG_LEVEL", "loud"), "\"loud\""),
        (with("LAB_FAIL", "error"), "no luck"),
        (
            with("LAB_FAIL", "panic"),
            "the constructor panicked: no luck at all",
        ),
        (
            with("LAB_FAIL", "register"),
            "two handlers were given for the path /raw",
        ),
        (
            with("LAB_FAIL", "twice"),
            "registering panicked: router registration conflict",
        ),
        (
            with("FTL_BIND", "http://192.0.2.1:1"),
            "cannot listen on 192.0.2.1:1: ",
        ),
    ] {
        let (code, out, err) = run(&variables, &[]).await;
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        let last = err.lines().last().unwrap();
        assert!(last.starts_with("grpc_lab: error: "), "{err}");
        assert!(last.contains(says), "{err}");
    }
}

#[tokio::test]
async fn help_and_version_are_what_was_asked_for() {
    let (code, out, err) = run(&[], &["--help"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    for part in [
        "A plugin to try things with",
        "--bind",
        "FTL_BIND",
        "--log-level",
        "--word",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (code, out, _) = run(&[], &["--version"]).await;
    assert_eq!(code, 0);
    assert_eq!(
        out.trim(),
        format!("grpc_lab {}", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn a_flag_beats_the_environment_which_beats_the_default() {
    for (variables, arguments, word) in [
        (&[][..], &[][..], "default"),
        (&[("LAB_WORD", "env")], &[], "env"),
        (
            &[("LAB_WORD", "env")],
            &["--word=flag", "--log-json", "--log-color=true"],
            "flag",
        ),
    ] {
        let mut lab = Lab::ready_with(variables, arguments).await;
        let mut line = Line::to(&lab, Version::HTTP_2).await;
        let reply = line.call("Word", "application/proto", text("")).await;
        assert_eq!(reply.body, text(word));
        lab.signal("TERM");
        assert_eq!(lab.ended().await, Some(0));
    }
}

#[tokio::test]
async fn log_levels_are_read_in_any_case() {
    for level in ["default", "TRACE", "Debug", "INFO", "warn", "eRRor"] {
        // Fails after the level was read.
        let variables = [
            ("LAB_NEEDED", "x"),
            ("FTL_BIND", PORT),
            ("LOG_LEVEL", level),
            ("LAB_FAIL", "error"),
        ];
        let (code, _, err) = run(&variables, &[]).await;
        assert_eq!(code, 1);
        assert!(err.ends_with("grpc_lab: error: no luck\n"), "{err}");
    }
}
