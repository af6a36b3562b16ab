//! What plugins write: all of it, once, in order, and in nobody's way.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jackfield::ReportedState::{Connecting, Errored};
use jackfield::wire::{Level, Stream};
use jackfield::{
    ActiveState, HostBuilder, InstallationId, LogLimits, LogQuery, LogRecord, LogStream, LogsError,
    Policy, Session, Spec,
};
use jackfield_testkit::{
    TestHost, bench_host, environment, eventually, host_in, manifest, quick, shell, until_file,
    until_state, within,
};
use serde_json::json;
use tokio::time::Instant;

/// Given up at the first end.
fn once(builder: HostBuilder) -> HostBuilder {
    builder.policy(Policy {
        restarts: 0,
        ..quick()
    })
}

async fn read(mut stream: LogStream) -> Vec<LogRecord> {
    let mut records = Vec::new();
    while let Some(record) = within(stream.next()).await {
        records.push(record);
    }
    records
}

/// Runs a script that ends with exit code 1; its records at the moment when the end is told.
async fn output(host: &TestHost, script: &str) -> Vec<LogRecord> {
    let session = host.start(shell(&format!("{script}\nexit 1"))).await;
    until_state(&session, Errored).await;
    read(session.logs(LogQuery::default()).unwrap()).await
}

fn numbers(records: &[LogRecord]) -> Vec<u64> {
    records
        .iter()
        .map(|record| record.text.parse().unwrap())
        .collect()
}

/// Checks that these are the numbers from 1 on, and says where they are not.
fn count_to(last: u64, records: &[LogRecord]) {
    let mut expected = 1;
    for number in numbers(records) {
        assert_eq!(number, expected, "lines are lost, repeated or out of order");
        expected += 1;
    }
    assert_eq!(expected, last + 1, "lines are lost at the end");
}

/// The files in which a host keeps the logs.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "log") {
                found.push(path);
            }
        }
    }
    found
}

/// A burst right before the end: all of it is there when the end is told.
#[tokio::test]
async fn a_burst_before_the_end_is_complete() {
    let host = bench_host(once).await;
    let records = output(&host, "seq 1 100000").await;
    count_to(100_000, &records);
    assert!(
        records
            .iter()
            .zip(1..)
            .all(|(record, seq)| record.seq == seq)
    );
    assert!(records.iter().all(|record| !record.partial));
    assert!(records.windows(2).all(|pair| pair[0].time <= pair[1].time));
}

/// Both streams at once, each in its order.
#[tokio::test]
async fn each_stream_keeps_its_order() {
    let host = bench_host(once).await;
    let records = output(&host, "seq 1 20000 >&2 & seq 1 20000; wait").await;
    for (stream, level) in [
        (Stream::Stdout, Level::Info),
        (Stream::Stderr, Level::Error),
    ] {
        let (of, _): (Vec<_>, Vec<_>) = records.iter().cloned().partition(|r| r.stream == stream);
        count_to(20_000, &of);
        assert!(of.iter().all(|record| record.level == level));
    }
}

/// The original read lines of up to 64 KiB and dropped the rest of the file behind a longer one.
#[tokio::test]
async fn a_line_without_end_comes_in_pieces() {
    let host = bench_host(once).await;
    let script = "echo before; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo after";
    let records = output(&host, script).await;
    assert_eq!(records[0].text, "before");
    assert_eq!(records.last().unwrap().text, "after");
    let pieces = &records[1..records.len() - 1];
    assert!(pieces.iter().all(|piece| piece.text.len() <= 64 << 10));
    assert_eq!(
        pieces.iter().map(|piece| piece.text.len()).sum::<usize>(),
        20_000_000
    );
    let (last, rest) = pieces.split_last().unwrap();
    assert!(rest.iter().all(|piece| piece.partial) && !last.partial);
    // And one that the process does not even end.
    let records = output(&host, "printf 'no newline'").await;
    assert_eq!(records[0].text, "no newline");
    assert!(!records[0].partial);
}

#[tokio::test]
async fn binary_output_is_survived() {
    let host = bench_host(once).await;
    let script =
        r"head -c 3000000 /dev/urandom; echo; printf 'a\000b\377\376\n\n\r\n'; printf '\303\251\n'";
    let records = output(&host, script).await;
    let texts: Vec<_> = records
        .iter()
        .rev()
        .take(4)
        .map(|r| r.text.as_str())
        .collect();
    assert_eq!(texts[0], "é");
    assert!(texts[1] == "\r" || texts[1].is_empty(), "{texts:?}");
    assert_eq!(texts[2], "");
    assert_eq!(texts[3], "a\0b\u{fffd}\u{fffd}");
}

/// Lines of the common logging libraries are understood; all others are kept whole.
#[tokio::test]
async fn levels_are_understood() {
    let host = bench_host(once).await;
    let lines = [
        // slog, zap, pino, structlog, tracing, and what only looks like one of them.
        (
            r#"{"time":"2026-01-01T00:00:00Z","level":"WARN","msg":"w","k":1}"#,
            Level::Warn,
            "w",
        ),
        (
            r#"{"level":"error","ts":1.5,"msg":"e","caller":"x.go:1"}"#,
            Level::Error,
            "e",
        ),
        (
            r#"{"level":50,"time":1531171074631,"pid":657,"msg":"p"}"#,
            Level::Error,
            "p",
        ),
        (
            r#"{"event":"s","level":"debug","logger":"l"}"#,
            Level::Debug,
            "s",
        ),
        (
            r#"{"timestamp":"t","level":"TRACE","fields":{"message":"f"}}"#,
            Level::Trace,
            "f",
        ),
        (
            r#"{"severity":"CRITICAL","message":"c"}"#,
            Level::Error,
            "c",
        ),
        (r#"{"level":"info"}"#, Level::Info, r#"{"level":"info"}"#),
        (r#"{"not json"#, Level::Info, r#"{"not json"#),
        (r#"[1,2]"#, Level::Info, "[1,2]"),
        ("WARN something", Level::Warn, "WARN something"),
        (
            "ts=1 level=error msg=x",
            Level::Error,
            "ts=1 level=error msg=x",
        ),
        ("warnings are nice", Level::Info, "warnings are nice"),
    ];
    let script: String = lines
        .iter()
        .map(|(line, ..)| format!("echo '{line}'\n"))
        .collect();
    let records = output(&host, &script).await;
    assert_eq!(records.len(), lines.len());
    for (record, (line, level, text)) in records.iter().zip(lines) {
        assert_eq!(
            (record.level, record.text.as_str()),
            (level, text),
            "{line}"
        );
    }
    assert_eq!(records[0].fields["k"], json!(1));
    assert_eq!(records[1].fields["caller"], json!("x.go:1"));
}

/// A line is seen while the process runs, without asking every so often.
#[tokio::test]
async fn a_line_is_seen_at_once() {
    let host = bench_host(once).await;
    let script = r#"while :; do read -r line < "$JACKFIELD_STATE_DIR/pipe" && echo "$line"; done"#;
    let script = format!("mkfifo \"$JACKFIELD_STATE_DIR/pipe\"; {script}");
    let session = host.start(shell(&script)).await;
    let pid = until_state(&session, Connecting).await.pid.unwrap();
    let pipe = environment(pid).await["JACKFIELD_STATE_DIR"].clone() + "/pipe";
    eventually(Duration::from_secs(10), "the pipe", || {
        Path::new(&pipe).exists()
    })
    .await;
    let mut follower = session.logs(LogQuery::default().follow()).unwrap();
    for n in 0..20 {
        let pipe = pipe.clone();
        let write = move || std::fs::write(pipe, format!("{n}\n"));
        tokio::task::spawn_blocking(write).await.unwrap().unwrap();
        let record = within(follower.next()).await.unwrap();
        assert_eq!(record.text, n.to_string());
    }
    session
        .set_active_state(ActiveState::Inactive)
        .await
        .unwrap();
}

/// Many followers over many rotations: each sees each line once, whenever it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_see_each_line_once_over_rotations() {
    let limits = LogLimits {
        file: 30_000,
        total: 16 << 20,
    };
    let host = bench_host(|builder| once(builder).log_limits(limits)).await;
    let script = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo $i; done; exit 1";
    let session = host.install(shell(script));
    let mut followers = tokio::task::JoinSet::new();
    let mut follow = |after: u64| {
        let mut stream = session
            .logs(LogQuery::default().after(after).follow())
            .unwrap();
        followers.spawn(async move {
            for n in after + 1..=4000 {
                let record = within(stream.next()).await.unwrap();
                assert_eq!((record.seq, record.text), (n, n.to_string()));
            }
        });
    };
    for _ in 0..4 {
        follow(0);
    }
    session.set_active_state(ActiveState::Active).await.unwrap();
    follow(0);
    follow(1000);
    // Of a number that is still to come.
    follow(3999);
    until_state(&session, Errored).await;
    follow(0);
    while let Some(done) = within(followers.join_next()).await {
        done.unwrap();
    }
    assert!(files(host.folder()).len() > 5, "it was rotated");
}

/// The oldest go when the quota is reached, whatever the plugin does; the newest are all there.
#[tokio::test]
async fn the_quota_holds() {
    let limits = LogLimits {
        file: 100_000,
        total: 500_000,
    };
    let host = bench_host(|builder| once(builder).log_limits(limits)).await;
    let records = output(&host, "seq 1 50000").await;
    let kept: u64 = files(host.folder())
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    // A batch of lines goes into one file.
    assert!(kept <= 700_000, "{kept} bytes");
    assert!(kept >= 200_000, "{kept} bytes");
    assert_eq!(records.last().unwrap().text, "50000");
    assert_eq!(records.last().unwrap().seq, 50_000);
    assert!(records.len() > 1000);
    assert!(
        records
            .windows(2)
            .all(|pair| pair[0].seq + 1 == pair[1].seq)
    );
    // A follower that asks for what is gone begins with what is there.
    let records = output(&host, "head -c 3000000 /dev/zero | tr '\\0' x").await;
    assert!(!records.is_empty());
}

/// One that looks on and never reads delays neither the plugin nor its end.
#[tokio::test]
async fn a_follower_that_never_reads_delays_nothing() {
    let host = bench_host(once).await;
    let session = host.install(shell("seq 1 50000; exit 1"));
    let mut idle: Vec<LogStream> = (0..8)
        .map(|_| session.logs(LogQuery::default().follow()).unwrap())
        .collect();
    let began = Instant::now();
    session.set_active_state(ActiveState::Active).await.unwrap();
    until_state(&session, Errored).await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    within(host.unload(session.id())).await;
    // And when it reads after all, nothing is missing.
    let records = read(idle.pop().unwrap()).await;
    count_to(50_000, &records);
}

#[tokio::test]
async fn the_output_of_others_stays_where_they_run() {
    let host = bench_host(|builder| builder).await;
    let (session, _) = host.expect(&manifest(json!({}))).await;
    let error = session.logs(LogQuery::default()).unwrap_err();
    assert_eq!(error, LogsError::External);
    assert!(error.to_string().contains("external"));
}

/// Unloaded or shut down: followers see what is there, then the end.
#[tokio::test]
async fn followers_end_with_the_session() {
    let host = bench_host(once).await;
    for by_shutdown in [false, true] {
        let session = host.start(shell("seq 1 100; exec sleep 1000")).await;
        until_state(&session, Connecting).await;
        let mut follower = session.logs(LogQuery::default().follow()).unwrap();
        for n in 1..=100 {
            assert_eq!(within(follower.next()).await.unwrap().text, n.to_string());
        }
        let waiting = tokio::time::timeout(Duration::from_millis(20), follower.next());
        waiting.await.expect_err("it follows");
        if by_shutdown {
            within(host.shutdown(Duration::from_secs(5))).await;
        } else {
            within(host.unload(session.id())).await;
        }
        assert_eq!(within(follower.next()).await, None);
        assert_eq!(within(follower.next()).await, None);
        // What is there can still be read.
        let records = read(session.logs(LogQuery::default()).unwrap()).await;
        assert_eq!(records.len(), 100);
    }
}

/// Lines keep their numbers over stops, crashes and new hosts over the same folder; the original
/// kept the last three runs only.
#[tokio::test]
async fn numbering_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let id = InstallationId::new();
    for round in 0..3u64 {
        let host = host_in(folder.path(), |builder| {
            builder.policy(Policy {
                restarts: 4,
                ..quick()
            })
        })
        .await;
        let session = host
            .load(Spec::supervised(id, shell("seq 1 10; exit 1")))
            .unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        until_state(&session, Errored).await;
        let records = read(session.logs(LogQuery::default()).unwrap()).await;
        let expected = 50 * (round + 1);
        assert!(
            records.iter().map(|r| r.seq).eq(1..=expected),
            "round {round}"
        );
        let after = LogQuery::default().after(expected - 2);
        assert_eq!(numbers(&read(session.logs(after).unwrap()).await), [9, 10]);
        within(host.shutdown(Duration::from_secs(5))).await;
    }
}

#[tokio::test]
async fn parts_of_a_log() {
    let host = bench_host(once).await;
    let session = host.start(shell("seq 1 1000; exit 1")).await;
    until_state(&session, Errored).await;
    let part = async |query: LogQuery| numbers(&read(session.logs(query).unwrap()).await);
    let all = LogQuery::default;
    assert_eq!(part(all().tail(3)).await, [998, 999, 1000]);
    assert_eq!(part(all().tail(0)).await, [0u64; 0]);
    assert_eq!(part(all().tail(5000)).await.len(), 1000);
    assert_eq!(part(all().after(998)).await, [999, 1000]);
    assert_eq!(part(all().after(5000)).await, [0u64; 0]);
    assert_eq!(part(all().after(998).tail(1)).await, [1000]);
    assert_eq!(part(all().since(SystemTime::UNIX_EPOCH)).await.len(), 1000);
    let later = SystemTime::now() + Duration::from_secs(3600);
    assert_eq!(part(all().since(later)).await, [0u64; 0]);
}

/// A process in the background that keeps the pipe: the end is told all the same, and what it
/// wrote before is there. The original waited for it, for ever.
#[tokio::test]
async fn one_that_keeps_the_pipe_delays_nothing() {
    let host = bench_host(once).await;
    let began = Instant::now();
    let records = output(&host, "setsid sleep 1000 & seq 1 1000").await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    count_to(1000, &records);
}

/// An operator removes the files below a running plugin: it goes on, and so does the log.
#[tokio::test]
async fn files_that_are_removed_hurt_nobody() {
    let host = bench_host(once).await;
    let script = r#"echo before; touch "$JACKFIELD_STATE_DIR/one"
        while [ ! -e "$JACKFIELD_STATE_DIR/go" ]; do sleep 0.02; done; echo after; exit 1"#;
    let session = host.start(shell(script)).await;
    let pid = until_state(&session, Connecting).await.pid.unwrap();
    let state = PathBuf::from(environment(pid).await["JACKFIELD_STATE_DIR"].clone());
    until_file(state.join("one")).await;
    eventually(Duration::from_secs(10), "a file", || {
        !files(host.folder()).is_empty()
    })
    .await;
    for file in files(host.folder()) {
        std::fs::remove_file(file).unwrap();
    }
    let mut follower = session.logs(LogQuery::default().follow()).unwrap();
    std::fs::write(state.join("go"), "").unwrap();
    let status = until_state(&session, Errored).await;
    assert_eq!(
        status.error.unwrap().details.last_lines,
        ["before", "after"]
    );
    within(host.unload(session.id())).await;
    // What was written into a file that is gone may be lost; a reader ends all the same.
    while within(follower.next()).await.is_some() {}
}

/// Two at once flood; a third, quiet one is served as if it were alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_drowns_no_other() {
    let limits = LogLimits {
        file: 1 << 20,
        total: 4 << 20,
    };
    let host = bench_host(|builder| builder.log_limits(limits)).await;
    let flood = "while :; do seq 1 100000; done";
    let first = host.start(shell(flood)).await;
    let second = host.start(shell(flood)).await;
    until_state(&first, Connecting).await;
    until_state(&second, Connecting).await;
    let quiet = host.start(shell("echo here; exec sleep 1000")).await;
    let mut follower = quiet.logs(LogQuery::default().follow()).unwrap();
    assert_eq!(within(follower.next()).await.unwrap().text, "here");
    let stop = |session: Session| async move {
        let stop = session.set_active_state(ActiveState::Inactive);
        tokio::time::timeout(Duration::from_secs(10), stop)
            .await
            .expect("stopped")
            .unwrap();
    };
    stop(first).await;
    stop(second).await;
    stop(quiet).await;
}

/// A host that is dropped leaves no follower waiting.
#[tokio::test]
async fn followers_end_with_a_host_that_is_dropped() {
    let host = bench_host(once).await;
    let session = host.start(shell("echo here; exec sleep 1000")).await;
    let mut follower = session.logs(LogQuery::default().follow()).unwrap();
    assert_eq!(within(follower.next()).await.unwrap().text, "here");
    drop(host);
    assert_eq!(within(follower.next()).await, None);
}

/// What a plugin leaves among the files of its log, whose folder it can reach, breaks nothing.
#[tokio::test]
async fn strange_files_beside_the_log_hurt_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let id = InstallationId::new();
    let names = [
        "0.log",
        "0000000000000000.log",
        "18446744073709551615.log",
        "99999999999999999999999.log",
        "-1.log",
        "x.log",
        "0000000000000003.log.tmp",
    ];
    for round in 0..2 {
        let host = host_in(folder.path(), once).await;
        let session = host
            .load(Spec::supervised(id, shell("seq 1 10; exit 1")))
            .unwrap();
        session.set_active_state(ActiveState::Active).await.unwrap();
        until_state(&session, Errored).await;
        let records = read(session.logs(LogQuery::default()).unwrap()).await;
        assert!(records.len() >= 10, "round {round}: {records:?}");
        assert!(records.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        within(host.shutdown(Duration::from_secs(5))).await;
        let logs = files(folder.path())[0].parent().unwrap().to_owned();
        for name in names {
            std::fs::write(logs.join(name), "not json\n").unwrap();
        }
    }
}

/// Bytes that grow when they are written as JSON count as what they become.
#[tokio::test]
async fn the_quota_holds_for_what_grows() {
    let limits = LogLimits {
        file: 1 << 20,
        total: 4 << 20,
    };
    let host = bench_host(|builder| once(builder).log_limits(limits)).await;
    output(&host, "head -c 8000000 /dev/zero | tr '\\0' '\\1'").await;
    let kept: u64 = files(host.folder())
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    assert!(kept <= 6 << 20, "{kept} bytes");
}
