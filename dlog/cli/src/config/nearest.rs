/// Largest number of edits between a word and the one that is proposed for it.
const MOST_EDITS: usize = 3;

/// Returns the word that differs least from `word`, if one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let edits = words.into_iter().map(|it| (edits(word, it), it));
    let (edits, found) = edits.min_by_key(|(edits, _)| *edits)?;
    (edits <= MOST_EDITS && edits < word.chars().count()).then_some(found)
}

/// Returns the number of insertions, deletions and replacements that make `b` of `a` (Levenshtein's
/// distance).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, from) in a.chars().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], index + 1);
        for (column, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_with_the_fewest_edits_is_proposed_and_none_that_is_far() {
        let words = ["port", "stats-port", "http-port"];
        assert_eq!(nearest("prot", words), Some("port"));
        assert_eq!(nearest("http_port", words), Some("http-port"));
        assert_eq!(nearest("windows", words), None);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
