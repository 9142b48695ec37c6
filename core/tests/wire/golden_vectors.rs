//! Every vector of `vectors.json`, both directions.

use std::fs;

use distributedlog::Dlsn;
use distributedlog::wire::crc;
use distributedlog::wire::record_set::{Codec, Header, RecordSet, RecordSetBuilder};
use serde_json::Value;

use crate::golden_files::{from_hex, golden};
use crate::golden_structs;

#[test]
fn every_vector_of_the_original_is_parsed_and_emitted() {
    let text = fs::read_to_string(golden().join("vectors.json")).expect("the vectors are there");
    let vectors: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let (mut sets, mut dlsns, mut sums, mut structs, mut constants) = (0, 0, 0, 0, 0);
    for vector in &vectors {
        let name = vector["name"].as_str().expect("a name");
        let (inputs, bytes) = (
            &vector["inputs"],
            from_hex(vector["hex"].as_str().expect("hex")),
        );
        match name.split('-').next().expect("a first word") {
            "recordset" => {
                sets += 1;
                record_set(name, inputs, &bytes);
            }
            "dlsn" if name == "dlsn-constants" => {
                constants += 1;
                named_positions(inputs);
            }
            "dlsn" => {
                dlsns += 1;
                position(name, inputs, &bytes);
            }
            "crc32" => {
                sums += 1;
                checksum(name, inputs, &bytes);
            }
            "thrift" => {
                structs += 1;
                golden_structs::check(name, inputs, &bytes);
            }
            other => panic!("no test for vectors of {other}"),
        }
    }
    assert_eq!(
        (vectors.len(), sets, dlsns, sums, structs, constants),
        (56, 14, 17, 15, 9, 1)
    );
}

fn records_of(inputs: &Value) -> Vec<Vec<u8>> {
    inputs["recordsHex"]
        .as_array()
        .expect("records")
        .iter()
        .map(|hex| from_hex(hex.as_str().expect("hex")))
        .collect()
}

fn record_set(name: &str, inputs: &Value, bytes: &[u8]) {
    let records = records_of(inputs);
    let mut buffer = vec![0; 64 * 1024];
    let mut builder = RecordSetBuilder::new(buffer.len(), false);
    for record in &records {
        assert!(builder.fits(record.len()), "{name}");
        builder
            .append(&mut buffer, record)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(
        builder.record_count() as u64,
        inputs["numRecords"].as_u64().expect("a count"),
        "{name}"
    );
    assert_eq!(
        builder.byte_len() as u64,
        inputs["numBytes"].as_u64().expect("a size"),
        "{name}"
    );
    if inputs["throws"].is_string() {
        // The original cannot finish an empty compressed set; ours finishes it uncompressed, as
        // every set that does not shrink.
        assert!(records.is_empty(), "{name}");
        compressed(name, &builder, &mut buffer, &records);
        return;
    }
    let header = Header::parse(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(
        (header.record_count, header.payload_bytes),
        (records.len(), builder.byte_len() - 16),
        "{name}"
    );
    assert_eq!(header.stored_bytes, bytes.len() - 16, "{name}");
    match inputs["codec"].as_str().expect("a codec") {
        "NONE" => {
            assert_eq!(header.codec, Codec::None, "{name}");
            assert_eq!(
                builder.finish(&mut buffer, None),
                bytes,
                "{name}: emitted other bytes"
            );
            holds(name, bytes, &mut [], &records);
        }
        "LZ4" => {
            assert_eq!(header.codec, Codec::Lz4, "{name}");
            theirs_compressed(name, bytes, &records);
            compressed(name, &builder, &mut buffer, &records);
        }
        other => panic!("{name}: codec {other}"),
    }
}

fn holds(name: &str, bytes: &[u8], scratch: &mut [u8], records: &[Vec<u8>]) {
    let set = RecordSet::parse(bytes, scratch).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(set.len(), records.len(), "{name}");
    assert!(
        set.records().eq(records.iter().map(Vec::as_slice)),
        "{name}: other records"
    );
    assert!(
        set.trailing().is_empty() && set.beyond().is_empty() && set.identity().is_none(),
        "{name}"
    );
}

/// Our reader takes their block.
#[cfg(feature = "lz4")]
fn theirs_compressed(name: &str, bytes: &[u8], records: &[Vec<u8>]) {
    let mut scratch = vec![0; Header::parse(bytes).expect("a header").payload_bytes];
    holds(name, bytes, &mut scratch, records);
}

/// Our block holds what theirs does, under the format's own rules as `reference_lz4` reads them.
/// The bytes may differ.
#[cfg(feature = "lz4")]
fn compressed(name: &str, builder: &RecordSetBuilder, buffer: &mut [u8], records: &[Vec<u8>]) {
    use distributedlog::wire::record_set::{Lz4Table, max_compressed_len};

    let mut out = vec![0; max_compressed_len(builder.byte_len())];
    let plain = builder.finish(buffer, None).to_vec();
    let ours = builder
        .finish_lz4(buffer, None, &mut Lz4Table::new(), &mut out)
        .expect("room for it")
        .to_vec();
    assert!(
        ours.len() <= plain.len(),
        "{name}: compressing made it larger"
    );
    let header = Header::parse(&ours).expect("a header");
    if header.codec == Codec::Lz4 {
        assert_eq!(reference_lz4(&ours[16..]), plain[16..], "{name}");
    } else {
        assert_eq!(ours, plain, "{name}");
    }
    let mut scratch = vec![0; header.payload_bytes];
    holds(name, &ours, &mut scratch, records);
}

/// The LZ4 block format read as its specification says, independently of the library that wrote the
/// block.
#[cfg(feature = "lz4")]
fn reference_lz4(block: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    let extended = |at: &mut usize, nibble: u8| {
        let (mut length, mut last) = (usize::from(nibble), if nibble == 15 { 255 } else { nibble });
        while last == 255 {
            last = block[*at];
            *at += 1;
            length += usize::from(last);
        }
        length
    };
    loop {
        let token = block[at];
        at += 1;
        let literals = extended(&mut at, token >> 4);
        out.extend_from_slice(&block[at..at + literals]);
        at += literals;
        if at == block.len() {
            return out;
        }
        let distance = usize::from(u16::from_le_bytes([block[at], block[at + 1]]));
        at += 2;
        let length = extended(&mut at, token & 15) + 4;
        for _ in 0..length {
            out.push(out[out.len() - distance]);
        }
    }
}

#[cfg(not(feature = "lz4"))]
fn theirs_compressed(name: &str, bytes: &[u8], _records: &[Vec<u8>]) {
    use distributedlog::wire::record_set::RecordSetErrorKind;

    let mut scratch = vec![0; 64 * 1024];
    let error = RecordSet::parse(bytes, &mut scratch).expect_err("this build has no LZ4");
    assert_eq!(
        (error.offset, error.kind),
        (0, RecordSetErrorKind::Lz4NotEnabled),
        "{name}"
    );
}

#[cfg(not(feature = "lz4"))]
fn compressed(_name: &str, _builder: &RecordSetBuilder, _buffer: &mut [u8], _records: &[Vec<u8>]) {}

fn position(name: &str, inputs: &Value, bytes: &[u8]) {
    let part = |key: &str, index: usize| {
        inputs["dlsn"]
            .get(index)
            .unwrap_or_else(|| &inputs[key])
            .as_i64()
            .unwrap_or_else(|| panic!("{name}: no {key}"))
    };
    let expected = Dlsn::new(
        part("logSegmentSequenceNo", 0),
        part("entryId", 1),
        part("slotId", 2),
    );
    let text = inputs["serialized"].as_str().expect("a text");
    assert_eq!(Dlsn::from_bytes(bytes), Ok(expected), "{name}");
    assert_eq!(text.parse(), Ok(expected), "{name}");
    // Version 0 is read and never written.
    if inputs["version"].as_i64() == Some(0) {
        assert_eq!(
            (bytes.len(), text.len()),
            (Dlsn::BYTES_V0, Dlsn::TEXT_BYTES_V0),
            "{name}"
        );
    } else {
        assert_eq!(expected.to_bytes().as_slice(), bytes, "{name}");
        assert_eq!(expected.to_text().as_str(), text, "{name}");
    }
}

fn named_positions(inputs: &Value) {
    assert_eq!(inputs["InitialDLSN"], Dlsn::INITIAL.to_string());
    assert_eq!(inputs["InvalidDLSN"], Dlsn::INVALID.to_string());
    assert_eq!(
        inputs["NonInclusiveLowerBound"],
        Dlsn::NON_INCLUSIVE_LOWER_BOUND.to_string()
    );
}

fn checksum(name: &str, inputs: &Value, bytes: &[u8]) {
    let stream = inputs["stream"].as_str().expect("a stream");
    let sum = match name {
        "crc32-writeOp" => crc::write(
            stream,
            &from_hex(inputs["payloadHex"].as_str().expect("a payload")),
        ),
        "crc32-streamOp" => crc::stream(stream),
        "crc32-truncateOp" => {
            let part = |index: usize| inputs["dlsn"][index].as_i64().expect("a number");
            crc::truncate(stream, &Dlsn::new(part(0), part(1), part(2)))
        }
        other => panic!("no checksum {other}"),
    };
    assert_eq!(
        inputs["crc32"].as_u64(),
        Some(sum.into()),
        "{name} of {stream}"
    );
    assert_eq!(bytes, u64::from(sum).to_be_bytes(), "{name} of {stream}");
}
