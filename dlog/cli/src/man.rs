use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;

use super::{Cli, CliError, Output};

/// Print the manual page, or write those of all commands into a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog man | man -l -
  dlog man ~/.local/share/man/man1   then: man dlog-proxy")]
pub(crate) struct Args {
    /// Folder for a page of each command [default: print the page of dlog]
    folder: Option<PathBuf>,
}

impl Args {
    /// Prints the page, or writes all.
    ///
    /// # Errors
    /// The output or the folder cannot be written.
    pub(crate) fn run(self, output: &Output) -> Result<(), CliError> {
        // Built, a command knows the whole names of those below it.
        let mut command = Cli::laid_out();
        command.build();
        let Some(folder) = self.folder else {
            return output.write(&page(&command, "dlog")?);
        };
        let failed = |error| CliError::failure(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut pages = Vec::new();
        collect(&command, "dlog", &mut pages)?;
        for (name, page) in &pages {
            let path = folder.join(format!("{name}.1"));
            let failed = |error| CliError::failure(format!("{}: {error}", path.display()));
            std::fs::write(&path, page).map_err(failed)?;
        }
        output.write(format!("{} pages in {}\n", pages.len(), folder.display()).as_bytes())
    }
}

/// Adds the page of a command, and those of the commands below it.
fn collect(
    command: &Command,
    name: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), CliError> {
    pages.push((name.to_owned(), page(command, name)?));
    let below = command.get_subcommands();
    for command in below.filter(|it| it.get_name() != "help" && !it.is_hide_set()) {
        collect(command, &format!("{name}-{}", command.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> Result<Vec<u8>, CliError> {
    let mut page = Vec::new();
    Man::new(command.clone())
        .title(name)
        .render(&mut page)
        .map_err(|error| CliError::failure(format!("the page of {name}: {error}")))?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_name_and_flags() {
        let mut command = Cli::laid_out();
        command.build();
        let mut pages = Vec::new();
        collect(&command, "dlog", &mut pages).expect("pages are text");
        let page = |wanted: &str| {
            let found = pages.iter().find(|(name, _)| name == wanted);
            let (_, page) = found.unwrap_or_else(|| panic!("{wanted} has no page"));
            String::from_utf8(page.clone()).expect("text")
        };
        assert!(page("dlog").contains(".TH dlog 1"));
        assert!(page("dlog-proxy").contains("\\-\\-shard\\-id"));
        assert!(page("dlog-tool-create").contains(".TH dlog-tool-create 1"));
        assert!(pages.iter().all(|(name, _)| !name.contains("help")));
    }
}
