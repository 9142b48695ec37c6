use std::io::{self, BufRead, IsTerminal};

use super::{CliError, Output};

/// Maximum number of times the question is asked.
const MAX_QUESTIONS: usize = 5;

/// Asks the user to confirm an action that cannot be undone, or that is worth a second look:
/// `question (Y or N)`. After [`MAX_QUESTIONS`] invalid answers the answer is no.
///
/// Returns true without asking if `force` is set.
///
/// # Errors
/// The standard input is not a terminal, so no user can answer: refused, because waiting would
/// never end.
pub(crate) fn confirm(question: &str, force: bool, output: &Output) -> Result<bool, CliError> {
    if force {
        return Ok(true);
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::usage(format!(
            "cannot ask for confirmation, because the standard input is not a terminal: {question}"
        ))
        .tip("add -f (or --force) to go ahead without a question"));
    }
    ask(question, &mut io::stdin().lock(), output)
}

fn ask(question: &str, answers: &mut dyn BufRead, output: &Output) -> Result<bool, CliError> {
    for _ in 0..MAX_QUESTIONS {
        output
            .write(format!("{question} (Y or N) ").as_bytes())
            .map_err(|_| CliError::failure(format!("cannot ask for confirmation: {question}")))?;
        let mut answer = String::new();
        let read = answers
            .read_line(&mut answer)
            .map_err(|error| CliError::failure(format!("cannot read the answer: {error}")))?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ if read == 0 => {
                output.line("")?;
                return Ok(false);
            }
            _ => output.line("Please answer Y or N.")?,
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::output::CapturedOutput;
    use super::*;

    fn answered(answers: &str) -> (bool, String) {
        let captured = CapturedOutput::default();
        let yes = ask(
            "You are going to create streams : [a]",
            &mut answers.as_bytes(),
            &captured.output(),
        )
        .expect("the buffer takes all");
        (yes, captured.text())
    }

    #[test]
    fn the_question_reads_as_the_originals() {
        assert_eq!(
            answered("Y\n"),
            (
                true,
                "You are going to create streams : [a] (Y or N) ".to_owned()
            )
        );
        assert!(answered("yes\n").0);
        assert!(!answered("n\n").0);
        assert!(!answered("NO\n").0);
    }

    #[test]
    fn an_answer_that_is_neither_yes_nor_no_is_asked_again_and_not_for_ever() {
        assert!(answered("what\ny\n").0);
        let (yes, text) = answered(&"?\n".repeat(100));
        assert_eq!(
            (yes, text.matches("Please answer").count()),
            (false, MAX_QUESTIONS)
        );
    }

    #[test]
    fn no_answer_means_no() {
        assert!(!answered("").0);
    }
}
