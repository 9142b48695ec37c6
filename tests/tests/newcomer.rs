//! docs/getting-started.md, followed word for word by a user who has nothing but `dlog`: its
//! commands print what the page says they do.
//!
//! `DLOG_NEWCOMER` names the command that runs each of them, such as `chroot FOLDER env -i …`;
//! without it they run here, with a home and an environment of their own.

use std::env;
use std::fs;
use std::path::Path;

use distributedlog_tests::binary;
use distributedlog_tests::ports::ReservedPort;
use distributedlog_tests::process::{From, Process, Starting};
use rustix::process::Signal;

/// One block of commands of the page, and what follows it.
#[derive(Debug, Default)]
struct Step {
    commands: String,
    expected: String,
    /// The commands go on while later ones run.
    background: bool,
    /// What runs in the background is interrupted before.
    stops: bool,
    status: i32,
}

/// Reads the steps of the page: blocks of `sh`, each with the block of `text` behind it, and marks
/// in comments before them.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut marks = Step::default();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        match line {
            "<!-- background -->" => marks.background = true,
            "<!-- stop -->" => marks.stops = true,
            "<!-- fails -->" => marks.status = 1,
            "```sh" | "```text" => {
                let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                let block = block.join("\n");
                if line == "```sh" {
                    let mut step = core::mem::take(&mut marks);
                    step.commands = block;
                    steps.push(step);
                } else {
                    steps.last_mut().expect("behind its commands").expected = block;
                }
            }
            _ => {}
        }
    }
    steps
}

/// Takes out of an output what differs from run to run: numbers, with their units, identities, and
/// how they are aligned.
fn normalized(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let is_identity =
            |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = line.split(' ');
        let words = words.map(|word| if is_identity(word) { "1" } else { word });
        let line = words.collect::<Vec<_>>().join(" ");
        let mut plain = String::new();
        let mut rest = line.trim_end().chars().peekable();
        while let Some(next) = rest.next() {
            if next.is_ascii_digit() {
                while rest
                    .peek()
                    .is_some_and(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | ':' | '-'))
                {
                    rest.next();
                }
                plain.push('#');
            } else {
                plain.push(next);
            }
        }
        let words = plain.split_whitespace();
        let units = [
            "ns", "us", "µs", "ms", "s", "B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "k", "M",
        ];
        let words = words.filter(|word| !units.contains(&word.trim_end_matches([',', ';', ')'])));
        // A busy machine may have hedged.
        let words = words.map(|word| if word == "attempts" { "attempt" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = text.lines().map(line).collect();
    lines.retain(|line| !line.is_empty());
    lines
}

/// Normalizes an output whose lines come in another order if other streams were written to.
fn sorted(text: &str) -> Vec<String> {
    let mut lines = normalized(text);
    lines.sort();
    lines
}

/// The user: a home, and the shell that runs the commands.
struct Newcomer {
    shell: Vec<String>,
    home: String,
    /// Ports of the page, and those that stand in for them.
    ports: [(&'static str, ReservedPort); 2],
}

impl Newcomer {
    fn new(home: &Path) -> Self {
        let shell = env::var("DLOG_NEWCOMER").map_or_else(
            |_| {
                let dlog = binary::dlog().parent().expect("it is in a folder");
                let path = format!("PATH={}:/usr/bin:/bin", dlog.display());
                let home = format!("HOME={}", home.display());
                ["env", "-i", &path, &home].map(str::to_owned).to_vec()
            },
            |command| command.split_whitespace().map(str::to_owned).collect(),
        );
        let home = shell.iter().find_map(|word| word.strip_prefix("HOME="));
        let home = home.expect("the environment names the home").to_owned();
        Self {
            shell,
            home,
            ports: [("8000", ReservedPort::new()), ("8002", ReservedPort::new())],
        }
    }

    /// Starts commands of the page, on ports that are free.
    fn start(&self, commands: &str) -> Process {
        let mut commands = format!("cd; {commands}");
        for (of_page, here) in &self.ports {
            commands = commands.replace(of_page, &here.number().to_string());
        }
        let (program, arguments) = self.shell.split_first().expect("a command");
        let arguments = arguments.iter().map(String::as_str);
        let shell = ["sh", "-c", &commands];
        Starting::program(Path::new(program), arguments.chain(shell)).start()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_for_newcomers_says_what_they_see() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/getting-started.md");
    let page = fs::read_to_string(page).expect("the page");
    let home = tempfile::tempdir().expect("a folder");
    let newcomer = Newcomer::new(home.path());
    let mut background: Option<Process> = None;
    let steps = steps(&page);
    assert!(steps.len() > 5, "{steps:?}");
    for step in steps {
        if step.stops {
            let process = background.take().expect("something runs");
            process.signal(Signal::INT);
            let _ = process.until_exit().await.with_code(0);
        }
        if step.background {
            let mut process = newcomer.start(&format!("exec {}", step.commands));
            for line in normalized(&step.expected) {
                let wanted = line.clone();
                process
                    .until_line(&line, move |_, said: &str| {
                        (normalized(said).first() == Some(&wanted)).then_some(())
                    })
                    .await;
            }
            background = Some(process);
            continue;
        }
        let ended = newcomer.start(&step.commands).until_exit().await;
        let ended = ended.with_code(step.status);
        let said = [From::Stdout, From::Stderr]
            .map(|which| ended.text(which))
            .join("\n");
        let said = sorted(&said.replace(&newcomer.home, "~"));
        assert_eq!(said, sorted(&step.expected), "{}", step.commands);
    }
}
