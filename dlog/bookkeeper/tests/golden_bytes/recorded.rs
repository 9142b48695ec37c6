//! The recorded files.

use bytes::Bytes;
use serde::Deserialize;

/// One line of a recording of frames.
#[derive(Deserialize)]
struct FrameLine {
    step: String,
    dir: Option<String>,
    len: Option<usize>,
    frame: Option<String>,
}

/// A recorded frame of protocol v3.
pub(crate) struct RecordedFrame {
    pub(crate) step: String,
    pub(crate) from_client: bool,
    pub(crate) frame: Bytes,
}

/// One line of a recording of nodes.
#[derive(Deserialize)]
pub(crate) struct NodeLine {
    pub(crate) step: String,
    pub(crate) path: String,
    pub(crate) hex: String,
    /// Version of the data; recordings of formats have none.
    #[serde(default)]
    pub(crate) version: i32,
    /// Version of the children.
    #[serde(default)]
    pub(crate) cversion: i32,
}

impl NodeLine {
    pub(crate) fn data(&self) -> Vec<u8> {
        unhex(&self.hex)
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

fn lines<'a, T: Deserialize<'a>>(text: &'a str) -> impl Iterator<Item = T> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a recorded line"))
}

/// Frames of protocol v3 in all recordings. Two probes are not of it on purpose.
pub(crate) fn frames() -> Vec<RecordedFrame> {
    let files = [
        include_str!("../golden/wire-417.jsonl"),
        include_str!("../golden/wire-45.jsonl"),
        include_str!("../golden/probe-417.jsonl"),
        include_str!("../golden/probe-45.jsonl"),
    ];
    let mut frames = Vec::new();
    for file in files {
        for FrameLine {
            step,
            dir,
            len,
            frame,
        } in lines(file)
        {
            let (Some(dir), Some(frame), Some(len)) = (dir, frame, len) else {
                continue; // A note of what the client saw.
            };
            let other = step.starts_with("v2") || step == "garbage-frame";
            let is_old_version = step == "version-two-in-header" && dir == "C>B";
            // Frames of a megabyte are recorded with their first bytes only.
            if other || is_old_version || frame.len() != 2 * len {
                continue;
            }
            frames.push(RecordedFrame {
                step,
                from_client: dir == "C>B",
                frame: unhex(&frame).into(),
            });
        }
    }
    frames
}

/// Nodes in all recordings.
pub(crate) fn nodes() -> Vec<NodeLine> {
    let files = [
        include_str!("../golden/ledger-znodes-417.jsonl"),
        include_str!("../golden/ledger-znodes-45.jsonl"),
        include_str!("../golden/ids-and-formats-417.jsonl"),
    ];
    files.into_iter().flat_map(lines::<NodeLine>).collect()
}

/// Nodes of DistributedLog's namespace after each step of a log's life.
pub(crate) fn dl_nodes() -> Vec<NodeLine> {
    lines(include_str!("../golden/dl-znodes.jsonl")).collect()
}

/// Likewise of DistributedLog 0.5.0.
pub(crate) fn dl_nodes_050() -> Vec<NodeLine> {
    lines(include_str!("../golden/dl-znodes-050.jsonl")).collect()
}

/// Payloads of the entries of DistributedLog 4.17.3 and 0.5.0.
pub(crate) fn dl_entries() -> Vec<Bytes> {
    #[derive(Deserialize)]
    struct EntryLine {
        payload: Option<String>,
    }
    let files = [
        include_str!("../golden/dl-entries.jsonl"),
        include_str!("../golden/dl-entries-050.jsonl"),
    ];
    files
        .into_iter()
        .flat_map(lines::<EntryLine>)
        .filter_map(|line| line.payload)
        .map(|payload| unhex(&payload).into())
        .collect()
}
