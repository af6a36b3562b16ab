//! Lines: none lost, none endless, nobody held up.

mod common;

use std::time::Duration;

use common::{exit, line, lines, mark, python, sh, within};
use jackfield_process::{ExitStatus, Stream};
use tokio::time::Instant;

#[tokio::test]
async fn lines_carry_stream_and_time() {
    let mut child = sh(&mark(), "echo out; echo err >&2; printf 'no end'")
        .spawn()
        .await
        .unwrap();
    let mut output = child.take_output().unwrap();
    assert!(child.take_output().is_none());
    let mut seen = Vec::new();
    while let Some(line) = within(output.recv()).await {
        assert!(!line.partial && line.at.elapsed().unwrap() < common::LONG);
        seen.push((line.stream, String::from_utf8(line.text).unwrap()));
    }
    seen.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
    assert_eq!(
        seen,
        [
            (Stream::Stdout, "out".to_owned()),
            (Stream::Stdout, "no end".to_owned()),
            (Stream::Stderr, "err".to_owned())
        ]
    );
    let mut tail = exit(&child).await.tail;
    tail.sort();
    assert_eq!(tail, ["err", "no end", "out"]);
}

#[tokio::test]
async fn the_exit_comes_after_the_last_line_of_a_burst() {
    let mut child = python(
        &mark(),
        "import sys\nfor i in range(100000): print(i)\nsys.exit(3)",
    )
    .spawn()
    .await
    .unwrap();
    let mut output = child.take_output().unwrap();
    let exited = child.exited();
    let reader = async {
        let mut next = 0;
        while let Some(line) = output.recv().await {
            assert_eq!(line.text, next.to_string().into_bytes());
            next += 1;
        }
        next
    };
    let (count, exit) = within(async { tokio::join!(reader, exited) }).await;
    assert_eq!(count, 100_000);
    assert_eq!(exit.status, ExitStatus::Code(3));
    assert_eq!(exit.tail.len(), 20);
    assert_eq!(exit.tail[19], "99999");
}

#[tokio::test]
async fn all_lines_are_in_the_channel_when_the_exit_is_told() {
    for _ in 0..20 {
        let mut child = sh(
            &mark(),
            "for i in 1 2 3 4 5 6 7 8 9; do echo $i; done; exit 1",
        )
        .spawn()
        .await
        .unwrap();
        let mut output = child.take_output().unwrap();
        exit(&child).await;
        let mut count = 0;
        while output.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 9);
    }
}

#[tokio::test]
async fn a_line_of_10_mib_comes_in_pieces() {
    let script =
        "import sys\nsys.stdout.write('x' * (10 << 20))\nsys.stdout.flush()\nprint('\\nafter')";
    let mut child = python(&mark(), script).spawn().await.unwrap();
    let mut output = child.take_output().unwrap();
    let (mut length, mut ended) = (0, false);
    while let Some(line) = within(output.recv()).await {
        if ended {
            assert_eq!(line.text, b"after");
        } else {
            assert!(line.text.len() <= 64 * 1024);
            length += line.text.len();
            ended = !line.partial;
        }
    }
    assert_eq!(length, 10 << 20);
    let tail = exit(&child).await.tail;
    assert_eq!(tail.iter().map(String::len).collect::<Vec<_>>(), [2048, 5]);
}

#[tokio::test]
async fn bytes_that_are_no_text_come_as_they_are() {
    let script = "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 1000)";
    let mut child = python(&mark(), script).spawn().await.unwrap();
    let mut output = child.take_output().unwrap();
    let mut all = Vec::new();
    while let Some(line) = within(output.recv()).await {
        all.extend_from_slice(&line.text);
        if !line.partial {
            all.push(b'\n');
        }
    }
    let expected: Vec<u8> = (0..1000).flat_map(|_| 0..=255).collect();
    assert_eq!(all.strip_suffix(b"\n"), Some(expected.as_slice()));
    assert_eq!(exit(&child).await.tail.len(), 20);
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipes_delays_nothing() {
    let mark = mark();
    let begun = Instant::now();
    let mut child = sh(
        &mark,
        "(trap '' INT HUP TERM; setsid sleep 1000) & echo last; exit 5",
    )
    .spawn()
    .await
    .unwrap();
    let output = child.take_output().unwrap();
    assert_eq!(lines(output).await, ["last"]);
    assert_eq!(exit(&child).await.status, ExitStatus::Code(5));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(common::with_mark(&mark), [].into());
}

/// Ten times more than the pipes and the channel hold.
const FLOOD: &str = "for i in range(100000): print('x' * 100)\nprint('done')";

#[tokio::test]
async fn output_that_nobody_takes_holds_nobody_up() {
    let child = python(&mark(), FLOOD).spawn().await.unwrap();
    let exit = exit(&child).await;
    assert_eq!(exit.status, ExitStatus::Code(0));
    assert_eq!(exit.tail[19], "done");
}

#[tokio::test]
async fn output_whose_consumer_went_away_holds_nobody_up() {
    let mut child = python(&mark(), FLOOD).spawn().await.unwrap();
    let mut output = child.take_output().unwrap();
    within(output.recv()).await.unwrap();
    drop(output);
    assert_eq!(exit(&child).await.tail[19], "done");
}

/// The readers left the thread after 2 MiB each time, which are a million lines: where the program found a processor
/// of its own to write them on, this took over half a minute.
#[tokio::test]
async fn a_flood_that_nobody_wants_keeps_nobody_waiting() {
    for taken in [false, true] {
        let mut child = sh(&mark(), "exec yes").spawn().await.unwrap();
        if taken {
            drop(child.take_output());
        }
        // On this one thread, which the readers must leave now and then.
        let begun = tokio::time::Instant::now();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
        child.stop();
        assert_eq!(exit(&child).await.status, ExitStatus::Signal(2));
    }
}

#[tokio::test]
async fn a_consumer_that_does_not_read_slows_the_program_but_not_its_end() {
    let mark = mark();
    let mut child = python(&mark, FLOOD)
        .grace(Duration::from_millis(100))
        .spawn()
        .await
        .unwrap();
    let mut output = child.take_output().unwrap();
    within(output.recv()).await.unwrap();
    child.stop();
    let exit = exit(&child).await;
    assert!(
        exit.asked && !exit.status.success(),
        "it was still writing: {exit:?}"
    );
    assert_eq!(common::with_mark(&mark), [].into());
    // What was read is not lost.
    assert!(within(output.recv()).await.is_some());
}

#[tokio::test]
async fn lines_of_a_slow_consumer_are_not_lost() {
    let mut child = sh(
        &mark(),
        "i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); done",
    )
    .spawn()
    .await
    .unwrap();
    let mut output = child.take_output().unwrap();
    let mut next = 0;
    while let Some(line) = within(output.recv()).await {
        assert_eq!(line.text, next.to_string().into_bytes());
        next += 1;
        if next % 100 == 0 {
            tokio::task::spawn_blocking(|| std::thread::park_timeout(Duration::from_millis(20)))
                .await
                .unwrap();
        }
    }
    assert_eq!(next, 1000);
}

#[tokio::test]
async fn a_stranger_with_the_pipe_is_waited_for_briefly() {
    // The test itself becomes the stranger: it opens the program's output by its path in /proc.
    let mut child = sh(&mark(), "echo up; exec sleep 1000")
        .spawn()
        .await
        .unwrap();
    let mut output = child.take_output().unwrap();
    line(&mut output, "up").await;
    let stranger = std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/{}/fd/1", child.pid()))
        .unwrap();
    child.kill();
    let begun = Instant::now();
    assert_eq!(exit(&child).await.status, ExitStatus::Signal(9));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(lines(output).await, [""; 0]);
    drop(stranger);
}
