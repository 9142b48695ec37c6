use core::fmt::{self, Display, Write as _};

/// A text of a peer within a message: its control characters, line ends included, are escaped, so
/// that it can neither control the terminal that shows the message nor add lines to a log.
///
/// So are the characters that change the direction of text or end a line without being control
/// characters (U+2028, U+2029, U+202A to U+202E, U+2066 to U+2069).
///
/// ```
/// let text = distributedlog::Escaped("stream \u{1b}[2J\n is gone").to_string();
/// assert_eq!(text, r"stream \u{1b}[2J\n is gone");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((index, found)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            self.0.write_str(&rest[..index])?;
            for c in found.escape_default() {
                self.0.write_char(c)?;
            }
            rest = &rest[index + found.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

fn is_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn nothing_of_a_text_acts_on_a_terminal_or_adds_a_line() {
        for (text, escaped) in [
            ("plain \u{e9} \\ \"", "plain \u{e9} \\ \""),
            ("a\r\nb\tc\0", r"a\r\nb\tc\u{0}"),
            (
                "\u{1b}]0;title\u{7}\u{9b}31m\u{7f}",
                r"\u{1b}]0;title\u{7}\u{9b}31m\u{7f}",
            ),
            (
                "\u{202e}txt.exe\u{2028}\u{2066}",
                r"\u{202e}txt.exe\u{2028}\u{2066}",
            ),
            ("", ""),
        ] {
            assert_eq!(Escaped(text).to_string(), escaped);
        }
    }
}
