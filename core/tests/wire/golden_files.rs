//! Reads the files of `tests/golden`: see its README.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of `golden/wire`: an exchange.
pub(crate) struct Exchange {
    /// `folder/file`, for messages.
    pub(crate) name: String,
    /// Which protocol was spoken.
    pub(crate) transport: Transport,
    /// The result as the original's client printed it; long ones are cut off.
    pub(crate) result: String,
    pub(crate) frames: Vec<GoldenFrame>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Mux,
    Upgraded,
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

pub(crate) struct GoldenFrame {
    pub(crate) direction: Direction,
    /// What is in it, as the capture's own decoder says.
    pub(crate) summary: String,
    pub(crate) bytes: Vec<u8>,
}

/// A result of this length may have been cut off.
pub(crate) const RESULT_CUT_AT: usize = 240;

/// The folder, also for tests of other crates that include this file.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("core/tests/golden"))
        .find(|golden| golden.is_dir())
        .expect("the golden files are in the repository")
}

/// Every exchange, sorted by name.
pub(crate) fn exchanges() -> Vec<Exchange> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in fs::read_dir(golden().join("wire")).expect("the golden files are there") {
        let folder = folder.expect("a readable folder").path();
        files.extend(
            fs::read_dir(&folder)
                .expect("a readable folder")
                .map(|file| file.expect("a readable entry").path()),
        );
    }
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Exchange {
    let folder = file
        .parent()
        .and_then(Path::file_name)
        .expect("a folder")
        .to_str()
        .expect("UTF-8");
    let name = format!(
        "{folder}/{}",
        file.file_name().expect("a name").to_str().expect("UTF-8")
    );
    let transport = match folder.rsplit('-').next().expect("a last word") {
        "mux" | "clientmux" => Transport::Mux,
        "ttwitter" | "clientttwitter" => Transport::Upgraded,
        "plain" => Transport::Plain,
        other => panic!("{name}: unknown transport {other}"),
    };
    let text = fs::read_to_string(file).expect("a readable file");
    let mut lines = text.lines();
    let title = lines.next().expect("a first line");
    let (_, result) = title
        .split_once("result = ")
        .unwrap_or_else(|| panic!("{name}: no result in its first line"));
    let mut frames = Vec::new();
    while let Some(head) = lines.next() {
        let body = lines
            .next()
            .unwrap_or_else(|| panic!("{name}: no bytes after '{head}'"));
        frames.push(frame(&name, head, body));
    }
    assert!(!frames.is_empty(), "{name} holds no frame");
    Exchange {
        name,
        transport,
        result: result.to_owned(),
        frames,
    }
}

/// `## c2s 19 bytes: summary` and `c2s 0000…`.
fn frame(name: &str, head: &str, body: &str) -> GoldenFrame {
    let head = head
        .strip_prefix("## ")
        .unwrap_or_else(|| panic!("{name}: '{head}' is no head"));
    let (size, summary) = head
        .split_once(" bytes: ")
        .unwrap_or_else(|| panic!("{name}: '{head}' says no size"));
    let (direction, size) = size.split_once(' ').expect("direction and size");
    let size: usize = size.parse().expect("a number of bytes");
    let hex = body
        .strip_prefix(direction)
        .and_then(|body| body.strip_prefix(' '))
        .expect("the same direction");
    let direction = match direction {
        "c2s" => Direction::ToServer,
        "s2c" => Direction::ToClient,
        other => panic!("{name}: unknown direction {other}"),
    };
    let bytes = match hex.split_once("...(") {
        None => from_hex(hex),
        Some((front, rest)) => {
            let (_, back) = rest
                .split_once(")...")
                .expect("the end of what is left out");
            let (mut bytes, back) = (from_hex(front), from_hex(back));
            restore_call(&mut bytes, summary);
            bytes.resize(size - back.len(), 0);
            bytes.extend(back);
            bytes
        }
    };
    assert_eq!(bytes.len(), size, "{name}: {summary}");
    GoldenFrame {
        direction,
        summary: summary.to_owned(),
        bytes,
    }
}

/// Where a call has an upgrade's header in front, what is left out begins inside that header,
/// before the zeros do. What follows there is the client's id, as in every other call of that
/// session, and the call up to its payload.
fn restore_call(front: &mut Vec<u8>, summary: &str) {
    const KEY: &[u8] = b"com.twitter.finagle.thrift.ClientIdContext";
    const CLIENT_ID: &str = "0b00020000000d676f6c64656e2d636c69656e740000";
    let Some(at) = front
        .windows(KEY.len() - 8)
        .position(|window| KEY.starts_with(window))
    else {
        return;
    };
    if front[at..].len() >= KEY.len() {
        return;
    }
    let call = if summary.contains("writeBulkWithContext") {
        concat!(
            "8001000100000014777269746542756c6b57697468436f6e74657874000000000cfffd000ffffe0b",
            "000000030000000662756c6b2d61000fe001"
        )
    } else {
        "8001000100000010777269746557697468436f6e74657874000000000cfffd000bfffe000fe001"
    };
    assert!(
        KEY.starts_with(&front[at..]),
        "what is there is the key's beginning"
    );
    front.truncate(at);
    front.extend([KEY, &from_hex(CLIENT_ID), &from_hex(call)].concat());
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "hex has two digits a byte");
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            u8::from_str_radix(core::str::from_utf8(pair).expect("ASCII"), 16).expect("a hex digit")
        })
        .collect()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
