use clap_complete::Shell;

use super::{Cli, CliError, Output};

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  dlog completions bash > ~/.local/share/bash-completion/completions/dlog
  dlog completions zsh  > ~/.zfunc/_dlog
  dlog completions fish > ~/.config/fish/completions/dlog.fish")]
pub(crate) struct Args {
    /// The shell to print a script for
    shell: Shell,
}

impl Args {
    /// Prints the script.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn run(self, output: &Output) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::laid_out(), "dlog", &mut script);
        output.write(&script)
    }
}
