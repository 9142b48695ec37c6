use std::ffi::OsString;

use super::super::EXIT_USAGE;
use super::super::args::Cli;

/// Returns the usage error of a command line.
fn refused(line: &str) -> String {
    let error = Cli::read(line.split(' ').map(OsString::from)).expect_err(line);
    assert!(error.use_stderr(), "{line}");
    assert_eq!(error.exit_code(), i32::from(EXIT_USAGE), "{line}");
    error.to_string()
}

fn accepted(line: &str) {
    if let Err(error) = Cli::read(line.split(' ').map(OsString::from)) {
        panic!("{line}: {error}");
    }
}

#[test]
fn the_tutorials_command_lines_are_accepted() {
    for line in [
        "dlog local 7000",
        "dlog proxy -p 8000 --shard-id 1 -sp 8001 -u \
         distributedlog://127.0.0.1:7000/messaging/distributedlog -mx",
        "dlog tool create -u distributedlog://127.0.0.1:7000/messaging/distributedlog -r \
         basic-stream- -e 3-7",
        "dlog multi-reader distributedlog://127.0.0.1:7000/messaging/distributedlog \
         basic-stream-3,basic-stream-4",
        "dlog console-multi-writer inet!127.0.0.1:8000 basic-stream-3,basic-stream-4",
        "dlog quickstart",
    ] {
        accepted(line);
    }
}

#[test]
fn the_originals_spellings_are_accepted() {
    for line in [
        "dlog proxy -si -1 -p 0 -u distributedlog://h/n",
        "dlog tool truncate_stream -u distributedlog://h/n -s x -dlsn 1,0,0 -f",
        "dlog tool serialize_dlsn -dlsn 1,0,0 -x",
        "dlog tool deserialize_dlsn -b64 AQAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAA==",
        "dlog tool show -ns -u distributedlog://h/n -s x",
        "dlog tool dump -u distributedlog://h/n -s x -n 1 -e 2 -t 3 -l 4 -x -sp",
        "dlog -vv tool list -u distributedlog://h/n -q",
    ] {
        accepted(line);
    }
}

#[test]
fn an_invalid_value_is_refused_with_its_flag_the_reason_and_a_correct_form() {
    for (line, parts) in [
        (
            "dlog tool create -u distributedlog://h/n -e 7-3",
            &["'7-3' for '--expression <EXPRESSION>'", "did you mean 3-7?"][..],
        ),
        (
            "dlog tool create -u distributedlog://h/n -e 3-",
            &["'3-' is not a range", "as in 3-7"],
        ),
        (
            "dlog tool create -u 127.0.0.1:7000/n -e 1",
            &[
                "--uri <URI>",
                "\"distributedlog://\" is missing",
                "looks like distributedlog://",
            ],
        ),
        (
            "dlog tool create -u ftp://h/n -e 1",
            &["write a namespace (distributedlog://127.0.0.1:7000/"],
        ),
        (
            "dlog tool create -u distributedlog://h -e 1",
            &["the namespace is missing"],
        ),
        (
            "dlog tool count -u distributedlog://h/n -s x 1,0",
            &["'1,0' is not a DLSN", "as in 1,0,0"],
        ),
        (
            "dlog tool truncate -u distributedlog://h/n -s x --dlsn one",
            &["'one' is not a DLSN"],
        ),
        (
            "dlog tool deserialize-dlsn nonsense",
            &["'nonsense' is not a DLSN"],
        ),
        (
            "dlog tool dump -u distributedlog://h/n -s .x",
            &["\".x\" is not a stream name"],
        ),
        (
            "dlog multi-reader distributedlog://h/n a,,b",
            &["a name is missing"],
        ),
        (
            "dlog multi-reader distributedlog://h/n a --from yesterday",
            &["'yesterday' is not a DLSN", "oldest, last or latest"],
        ),
        (
            "dlog multi-reader distributedlog://h/n a --count 0",
            &["0 is not in 1.."],
        ),
        (
            "dlog console-multi-writer inet!h:1 a --request-timeout 500",
            &["'500' has no unit; write 500ms or 500s"],
        ),
        (
            "dlog proxy -p 99999 -u distributedlog://h/n",
            &["'99999' is not a port; write a number up to 65535"],
        ),
        (
            "dlog admin unbind",
            &[
                "<URI>",
                "it is distributedlog://127.0.0.1:7000/messaging/distributedlog",
            ],
        ),
        (
            "dlog proxy -u distributedlog://h/n --data /x",
            &["cannot be used with"],
        ),
        ("dlog local seven", &["'seven' is not a port"]),
        ("dlog tool cretae -e 1", &["cretae", "create"]),
        ("dlog quikstart", &["quickstart"]),
    ] {
        if cfg!(not(feature = "bookkeeper")) && line.starts_with("dlog admin") {
            continue;
        }
        let text = refused(line);
        for part in parts {
            assert!(
                text.contains(part),
                "{line}: {part:?} is missing in:\n{text}"
            );
        }
    }
}
