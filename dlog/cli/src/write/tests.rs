use std::ffi::OsString;

use super::super::args::{Cli, Command};
use super::*;

fn args(line: &str) -> Result<Box<Args>, String> {
    let words = format!("dlog write s-1,s-2 {line}");
    let cli = Cli::read(
        words
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(OsString::from),
    );
    let Command::Write(args) = cli.map_err(|error| error.to_string())?.command else {
        panic!("{words}")
    };
    Ok(args)
}

#[test]
fn records_come_from_lines_unless_a_flag_says_otherwise() {
    let records = |line: &str| args(line).expect(line).records();
    assert!(matches!(records(""), Records::Stdin(Framing::Lines)));
    assert!(matches!(
        records(r"-d \0"),
        Records::Stdin(Framing::Delimited(delimiter)) if delimiter == b"\0"
    ));
    assert!(matches!(
        records("--length-prefixed"),
        Records::Stdin(Framing::LengthPrefixed)
    ));
    assert!(matches!(records("-m a -m b"), Records::Messages(texts) if texts.len() == 2));
    assert!(matches!(records("--file a b"), Records::Files(files) if files.len() == 2));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for line in [
        "-m a --file b",
        "-m a -d ,",
        r"-d \q",
        "--rate 0",
        "--rate fast",
        "--length-prefixed -d ,",
    ] {
        assert!(args(line).is_err(), "{line}");
    }
    assert_eq!(args("--rate 100/s").expect("a rate").rate, Some(100.0));
}

#[tokio::test]
async fn a_place_that_takes_no_writes_is_refused_with_those_that_do() {
    for (line, said) in [
        ("--to distributedlog://h/n", "inet!HOST:PORT"),
        ("--to http://h:1 --key-delimiter :", "inet!127.0.0.1:8000"),
    ] {
        let args = args(line).expect(line);
        let (target, streams) = args.place.resolve(&args.at).expect("a place");
        let settings = args.writer.settings().expect("valid");
        let Err(error) = args.open(&target, &streams, settings).await else {
            panic!("{line}")
        };
        let report = error.report(false).expect("a message");
        assert!(report.contains(said), "{line}: {report}");
        assert_eq!(error.exit_status(), 2);
    }
}
