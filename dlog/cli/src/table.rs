//! Tables for people: a line of headings, and columns as wide as their widest cell.

/// Side on which the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Lays out a table. Returns its lines, headings first, without spaces at their ends.
pub(crate) fn lines(columns: &[(&str, Align)], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(columns[column].0.chars().count())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for ((cell, (_, align)), width) in cells.zip(columns).zip(&widths) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            match align {
                Align::Left => line.push_str(&format!("{cell:<width$}")),
                Align::Right => line.push_str(&format!("{cell:>width$}")),
            }
        }
        line.truncate(line.trim_end().len());
        line
    };
    let mut lines = vec![line(&mut columns.iter().map(|(name, _)| *name))];
    lines.extend(
        rows.iter()
            .map(|row| line(&mut row.iter().map(String::as_str))),
    );
    lines
}

/// Formats a number of bytes with three digits: `999 B`, `1.23 kB`, `45.6 MB`.
pub(crate) fn bytes_text(bytes: u64) -> String {
    quantity(bytes as f64, "B")
}

/// Formats a quantity with three digits and a unit.
pub(crate) fn quantity(value: f64, unit: &str) -> String {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let (mut value, mut index) = (value, 0);
    while value >= 999.5 && index + 1 < PREFIXES.len() {
        value /= 1e3;
        index += 1;
    }
    let number = match value {
        _ if index == 0 && value.fract() == 0.0 => format!("{value:.0}"),
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    format!("{number} {}{unit}", PREFIXES[index])
}

/// Formats how long ago something was: `3 s`, `5 min`, `2 h`, `9 d`.
pub(crate) fn age_text(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            vec!["orders".to_owned(), "12".to_owned(), String::new()],
            vec!["a".to_owned(), "1234".to_owned(), "proxy".to_owned()],
        ];
        let columns = [
            ("STREAM", Align::Left),
            ("NO", Align::Right),
            ("OWNER", Align::Left),
        ];
        assert_eq!(
            lines(&columns, &rows),
            ["STREAM    NO  OWNER", "orders    12", "a       1234  proxy"]
        );
    }

    #[test]
    fn quantities_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (45_612_000, "45.6 MB"),
            (999_600, "1.00 MB"),
            (123_456, "123 kB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
        assert_eq!(quantity(0.25, "/s"), "0.25 /s");
    }

    #[test]
    fn ages_grow_in_their_units() {
        for (ms, text) in [
            (999, "0 s"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (9 * 86_400_000, "9 d"),
        ] {
            assert_eq!(age_text(ms), text);
        }
    }
}
