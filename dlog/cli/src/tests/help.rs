//! Help texts, compared with the snapshots in `help/`, so that a change shows as a diff.
//! `UPDATE_SNAPSHOTS=1 cargo test -p dlog` writes the snapshots again.

use super::super::args::Cli;

pub(super) fn collect(mut command: clap::Command, name: String, texts: &mut Vec<(String, String)>) {
    command.build();
    texts.push((name.clone(), command.render_help().to_string()));
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        collect(below.clone(), format!("{name}-{}", below.get_name()), texts);
    }
}

// The snapshots are of a binary with every feature; `features.rs` tests the others.
#[cfg(all(feature = "bookkeeper", feature = "plots", feature = "zookeeper"))]
#[test]
fn every_commands_help_equals_its_snapshot() {
    use std::fs;

    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tests/help");
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut texts = Vec::new();
    collect(
        Cli::laid_out().term_width(100),
        "dlog".to_owned(),
        &mut texts,
    );
    for (name, text) in &texts {
        let file = folder.join(format!("{name}.txt"));
        if update {
            fs::write(&file, text).expect("the snapshots' folder can be written");
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            *text, kept,
            "{name}: run with UPDATE_SNAPSHOTS=1 if the new text is right"
        );
    }
    let kept = fs::read_dir(&folder)
        .expect("the snapshots' folder is there")
        .count();
    assert_eq!(
        kept,
        texts.len(),
        "there is a snapshot of a command that no longer exists"
    );
}

#[test]
fn every_command_has_an_example() {
    let mut texts = Vec::new();
    collect(
        Cli::laid_out().term_width(100),
        "dlog".to_owned(),
        &mut texts,
    );
    for (name, text) in texts {
        assert!(text.contains("\n  dlog "), "{name}:\n{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}
