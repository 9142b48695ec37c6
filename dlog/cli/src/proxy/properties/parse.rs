//! Syntax of the original's configuration files: Java properties, as Apache Commons Configuration
//! reads them.

use core::fmt;

/// Maximum bytes of a file.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Maximum properties of a file.
const MAX_PROPERTIES: usize = 4096;

/// A property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    /// Line on which it begins, counted from 1.
    pub(super) line: usize,
    /// Key.
    pub(super) key: String,
    /// Value, without white space around it.
    pub(super) value: String,
}

/// A text that is not such a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParseError {
    /// Line, counted from 1.
    pub(super) line: usize,
    reason: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

/// Parses a file: `key = value`, `key: value` or `key value`, comments behind `#` or `!` at the
/// beginning of a line, lines continued by a backslash at the end, and Java's escapes.
///
/// # Errors
/// The file includes another one, refers to another property, or has an escape that does not exist.
pub(super) fn parse(text: &str) -> Result<Vec<Property>, ParseError> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let line = index + 1;
        let refuse = |reason| Err(ParseError { line, reason });
        let first = first.trim_start();
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while is_continued(&logical) {
            logical.pop();
            // A backslash on the last line continues nothing.
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start());
        }
        let (key, value) = split(&logical);
        let (Some(key), Some(value)) = (unescaped(key), unescaped(value.trim())) else {
            return refuse("the escape behind a backslash does not exist; write \\\\ for one");
        };
        if key.eq_ignore_ascii_case("include") || key.eq_ignore_ascii_case("includeoptional") {
            return refuse("files that include others are not read; write their properties here");
        }
        if value.contains("${") {
            return refuse("values that refer to others, ${…}, are not read; write the value");
        }
        if properties.len() == MAX_PROPERTIES {
            return refuse("a file has at most 4096 properties");
        }
        properties.push(Property { line, key, value });
    }
    Ok(properties)
}

/// Returns true if a line ends with an odd number of backslashes.
fn is_continued(line: &str) -> bool {
    let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    backslashes % 2 == 1
}

/// Splits a line at its first separator that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    for (at, char) in line.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '=' | ':' => return (&line[..at], &line[at + 1..]),
            ' ' | '\t' => {
                let rest = line[at..].trim_start();
                let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
                return (&line[..at], value);
            }
            _ => {}
        }
    }
    (line, "")
}

/// Replaces Java's escapes, or returns `None` if one does not exist.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        out.push(match rest.next()? {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'u' => {
                let digits: String = rest.by_ref().take(4).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            other @ ('\\' | '=' | ':' | '#' | '!' | ' ' | ',' | '"' | '\'' | '/') => other,
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_property_is_read() {
        let text = "# comment\n  ! another\n\na=1\nb: 2\n  c 3\nd = 4 5 \ne\nf=\\\n   6\\\n  7\n\
                    g\\:h=\\u0041\\t8\ni=x\\\\\nj:=9\n";
        let read: Vec<(usize, String, String)> = parse(text)
            .expect("it is valid")
            .into_iter()
            .map(|it| (it.line, it.key, it.value))
            .collect();
        let expected = [
            (4, "a", "1"),
            (5, "b", "2"),
            (6, "c", "3"),
            (7, "d", "4 5"),
            (8, "e", ""),
            (9, "f", "67"),
            (12, "g:h", "A\t8"),
            (13, "i", "x\\"),
            (14, "j", "=9"),
        ];
        let expected = expected.map(|(line, key, value)| (line, key.to_owned(), value.to_owned()));
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_not_read_is_refused_with_its_line() {
        for (text, line, reason) in [
            ("a=1\ninclude = other.conf", 2, "include others"),
            ("a=${b}", 1, "refer to others"),
            ("a=1\n\nb=\\q", 3, "escape"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.line, line, "{text}");
            assert!(error.to_string().contains(reason), "{error}");
        }
        let many = "a=1\n".repeat(MAX_PROPERTIES + 1);
        assert_eq!(parse(&many).expect_err("too many").line, MAX_PROPERTIES + 1);
        assert_eq!(parse("a=1\\").expect("valid")[0].value, "1");
    }
}
