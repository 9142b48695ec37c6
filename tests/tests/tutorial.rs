//! The tutorial "Write records to multiple streams", as its readers run it: one process per
//! command, over real sockets.

use std::collections::BTreeSet;

use distributedlog_tests::process::{From, Process, Starting};
use distributedlog_tests::stack::{Local, Proxy, STREAMS, StoreOf};

const FIRST: &str = "DLSN{logSegmentSequenceNo=1, entryId=0, slotId=0}";

/// Waits for a record. Returns its position, stream and payload.
async fn next_record(reader: &mut Process) -> (String, String, String) {
    let (dlsn, stream) = reader
        .until_line("a received record", |_, line| {
            let (dlsn, stream) = line
                .strip_prefix("Received record ")?
                .split_once(" from stream ")?;
            Some((dlsn.to_owned(), stream.to_owned()))
        })
        .await;
    reader
        .until_line("the quotes before the payload", |_, line| {
            (line == "\"\"\"").then_some(())
        })
        .await;
    let payload = reader
        .until_line("the payload", |_, line| Some(line.to_owned()))
        .await;
    reader
        .until_line("the quotes after the payload", |_, line| {
            (line == "\"\"\"").then_some(())
        })
        .await;
    (dlsn, stream, payload)
}

#[tokio::test]
async fn the_tutorial_runs_end_to_end_with_one_process_per_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let uri = local.uri().to_string();
    let proxy = Proxy::start(StoreOf::At(&local.uri()), 0, &["-sp", "0"]).await;
    let created = Starting::dlog([
        "tool",
        "create",
        "-u",
        &uri,
        "-r",
        "basic-stream-",
        "-e",
        "3-7",
        "-f",
    ])
    .start();
    let _ = created.until_exit().await.with_code(0);
    let all = STREAMS.join(",");
    let mut reader = Starting::dlog(["multi-reader", &uri, &all]).start();
    for _ in STREAMS {
        reader
            .until_line("where it starts", |_, line| {
                line.starts_with("Open reader to read records from stream ")
                    .then_some(())
            })
            .await;
    }
    let mut writer = Starting::dlog(["console-multi-writer", &proxy.name(), &all])
        .with_stdin()
        .start();
    let messages: Vec<String> = (1..=5).map(|i| format!("message-{i}")).collect();
    writer.type_in(&format!("{}\n", messages.join("\n"))).await;
    writer.end_input();
    let _ = writer.until_exit().await.with_code(0);
    let (mut streams, mut payloads) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..5 {
        let (dlsn, stream, payload) = next_record(&mut reader).await;
        assert_eq!(dlsn, FIRST, "the first record of {stream}");
        streams.insert(stream);
        payloads.insert(payload);
    }
    assert_eq!(
        streams,
        STREAMS.map(str::to_owned).into(),
        "five records in five different streams"
    );
    assert_eq!(payloads, messages.into_iter().collect());
    for stream in STREAMS {
        let expected = [
            format!("Opening log stream {stream}"),
            format!("Log stream {stream} is empty."),
            format!("Wait for records from {stream} starting from {FIRST}"),
            format!("Open reader to read records from stream {stream}"),
            format!("Received record {FIRST} from stream {stream}"),
        ];
        let said = reader.said();
        let mut rest = said.as_str();
        for line in expected {
            let at = rest
                .find(&line)
                .unwrap_or_else(|| panic!("\"{line}\" is missing, or out of order\n{said}"));
            rest = &rest[at + line.len()..];
        }
    }
}

#[tokio::test]
async fn creating_streams_asks_first_and_a_no_creates_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = Local::start(folder.path(), 0).await;
    let mut create = Starting::dlog([
        "tool",
        "create",
        "-u",
        &local.uri().to_string(),
        "-r",
        "basic-stream-",
        "-e",
        "3-7",
    ])
    .with_stdin()
    .start();
    create.type_in("n\n").await;
    create.end_input();
    let ended = create.until_exit().await;
    let said = format!("{}{}", ended.text(From::Stdout), ended.text(From::Stderr));
    assert!(
        said.contains("You are going to create streams : ["),
        "{said}"
    );
    assert_eq!(local.connect().await.list().await, Ok(vec![]));
}

#[tokio::test]
async fn quickstart_from_a_pipe_ends_after_every_line_was_acknowledged_and_read_back() {
    let mut quickstart = Starting::dlog(["quickstart", "--port", "0"])
        .with_stdin()
        .start();
    let lines: BTreeSet<String> = (1..=200).map(|i| format!("line {i}")).collect();
    for line in &lines {
        quickstart.type_in(&format!("{line}\n")).await;
    }
    quickstart.end_input();
    let ended = quickstart.until_exit().await.with_code(0);
    let out: Vec<String> = ended
        .text(From::Stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    let payloads = out
        .windows(3)
        .filter(|window| window[0] == "\"\"\"" && window[2] == "\"\"\"")
        .map(|window| window[1].clone());
    let seen: BTreeSet<String> = payloads.filter(|payload| lines.contains(payload)).collect();
    assert_eq!(seen, lines, "every line comes out of one of the streams");
    assert!(
        out.iter()
            .any(|line| line.contains("200 records written, acknowledged and read back")),
        "{out:?}"
    );
}

#[tokio::test]
async fn quickstart_goes_on_in_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("plain");
    for _ in 0..2 {
        let mut quickstart = Starting::dlog(["quickstart", "--port", "0", "--data", data])
            .with_stdin()
            .start();
        quickstart.type_in("one line\n").await;
        quickstart.end_input();
        let _ = quickstart.until_exit().await.with_code(0);
    }
    let local = Local::start(folder.path(), 0).await;
    let store = local.connect().await;
    let mut records = 0;
    for stream in STREAMS {
        records += distributedlog_tests::records::read_all(&store, stream)
            .await
            .len();
    }
    assert_eq!(records, 2);
}
