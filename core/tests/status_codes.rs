//! The table of answer codes against the documents that describe it to people.

use std::collections::BTreeMap;

use distributedlog::{Failure, StatusCode, WriteState};

fn document(name: &str) -> String {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// The cells of each row of the table below this heading.
fn rows<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = document.split_once(heading).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap_or(section);
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

const fn name_of(known: WriteState) -> &'static str {
    match known {
        WriteState::NotWritten => "not_written",
        WriteState::Rejected => "rejected",
        WriteState::Unknown => "unknown",
    }
}

#[test]
fn numbers_and_names_are_found_again() {
    for (at, &code) in StatusCode::ALL.iter().enumerate() {
        assert_eq!(StatusCode::from_i32(code.as_i32()), code);
        assert!(at == 0 || StatusCode::ALL[at - 1].as_i32() < code.as_i32());
    }
    assert_eq!(StatusCode::from_i32(7), StatusCode::Other(7));
}

/// `docs/http.md`: the table of problems.
#[test]
fn the_document_about_http_agrees_with_the_table() {
    let document = document("http.md");
    let mut named = BTreeMap::new();
    for row in rows(&document, "\n## Problems") {
        let [status, names, known, _] = row[..] else {
            continue;
        };
        let Ok(status) = status.parse::<u16>() else {
            continue;
        };
        for (index, _) in names.match_indices("` (") {
            let name = names[..index].rsplit('`').next().expect("a name");
            let code = names[index + 3..].split(')').next().expect("a number");
            // "`not_written`; 525: `unknown`"
            let known = known
                .split_once(&format!("{code}: `"))
                .map_or_else(|| known.trim_start_matches('`'), |(_, own)| own);
            let known = known.split('`').next().expect("a word");
            let code = StatusCode::from_i32(code.parse().expect("a number"));
            assert_eq!(code.name(), name);
            assert_eq!(code.http_status(), status, "{code}");
            assert_eq!(name_of(Failure::of_status(code).known), known, "{code}");
            assert_eq!(named.insert(code.as_i32(), ()), None, "{code} twice");
        }
    }
    assert!(named.len() > 15, "the table was read");
    // The last row: "500 to 504, every other code".
    for code in StatusCode::ALL {
        let other = !named.contains_key(&code.as_i32()) && *code != StatusCode::Success;
        assert!(
            !other || (500..=504).contains(&code.http_status()),
            "docs/http.md has no row for {code}, which is answered with {}",
            code.http_status()
        );
        if other && code.http_status() == 503 {
            assert_eq!(
                Failure::of_status(*code).known,
                WriteState::Unknown,
                "{code}"
            );
        }
    }
}

/// `docs/compatibility.md`: each code stands in one row.
#[test]
fn the_document_about_compatibility_has_every_code_once() {
    let document = document("compatibility.md");
    let mut codes = Vec::new();
    for row in rows(&document, "\n## Status codes") {
        for part in row[0].split(", ") {
            let (first, last) = part.split_once('–').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse()) {
                codes.extend(first..=last);
            }
        }
    }
    codes.sort_unstable();
    let expected: Vec<i32> = StatusCode::ALL.iter().map(|code| code.as_i32()).collect();
    assert_eq!(codes, expected, "docs/compatibility.md, \"Status codes\"");
}
