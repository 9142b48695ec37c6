//! The section of a Markdown file that a run replaces.

use std::fs;
use std::path::Path;

use crate::Outcome;

const BEGIN: &str =
    "<!-- peers: begin; `tests/parts/peers --write FILE` replaces this section -->\n";
const END: &str = "<!-- peers: end -->\n";

/// Replaces what is between the marks in a file.
///
/// # Errors
/// The file cannot be read or written, or has not both marks; it is left as it was.
pub(crate) fn replace(file: &Path, section: &str) -> Outcome<()> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        let file = file.display();
        return Err(
            format!("{file} has no section to replace: add the lines\n{BEGIN}{END}").into(),
        );
    };
    fs::write(file, format!("{before}{BEGIN}\n{section}\n{END}{after}"))?;
    Ok(())
}
