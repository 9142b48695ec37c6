use distributedlog::{Cause, Failure, FailureDomain, Instant, StatusCode, StreamIndex};

/// One line that begins with a time.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) at: Instant,
    pub(super) event: Event,
    /// The line of the script, without indentation.
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) enum Event {
    Nothing,
    Sleep,
    Write {
        name: String,
        len: usize,
    },
    Reserve {
        name: String,
        len: usize,
    },
    Submit {
        name: String,
    },
    Release {
        name: String,
    },
    Answer {
        attempt: usize,
        entry: i64,
    },
    Fail {
        attempt: usize,
        failure: Failure,
    },
    Refuse {
        starts: u32,
    },
    Forget {
        name: String,
    },
    Domain {
        stream: StreamIndex,
        domain: Option<FailureDomain>,
    },
    Flush,
    Close {
        by: Instant,
    },
    Abort,
}

/// Returns the lines without blank ones and comments, those of actions indented by two spaces.
pub(super) fn normalized(script: &str) -> Vec<String> {
    script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .map(|line| {
            if is_step(line) {
                line.to_owned()
            } else {
                format!("  {line}")
            }
        })
        .collect()
}

fn is_step(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_digit())
}

pub(super) fn steps(script: &str) -> Vec<Step> {
    normalized(script)
        .into_iter()
        .filter(|line| is_step(line))
        .map(step)
        .collect()
}

fn step(line: String) -> Step {
    let mut words = line.split_whitespace();
    let at = time(words.next().unwrap_or_default());
    let rest: Vec<&str> = words.collect();
    let event = match *rest.as_slice() {
        [] => Event::Nothing,
        ["sleep"] => Event::Sleep,
        ["write", name] => Event::Write {
            name: name.to_owned(),
            len: name.len(),
        },
        ["write", name, len] => Event::Write {
            name: name.to_owned(),
            len: number(len),
        },
        ["reserve", name, len] => Event::Reserve {
            name: name.to_owned(),
            len: number(len),
        },
        ["submit", name] => Event::Submit {
            name: name.to_owned(),
        },
        ["release", name] => Event::Release {
            name: name.to_owned(),
        },
        ["answer", attempt] => Event::Answer {
            attempt: number(attempt),
            entry: number(attempt) as i64,
        },
        ["answer", attempt, entry] => Event::Answer {
            attempt: number(attempt),
            entry: number(entry) as i64,
        },
        ["fail", attempt, how] => Event::Fail {
            attempt: number(attempt),
            failure: failure(how),
        },
        ["refuse", starts] => Event::Refuse {
            starts: number(starts) as u32,
        },
        ["forget", name] => Event::Forget {
            name: name.to_owned(),
        },
        ["domain", stream] => Event::Domain {
            stream: StreamIndex(number(stream) as u16),
            domain: None,
        },
        ["domain", stream, name] => Event::Domain {
            stream: StreamIndex(number(stream) as u16),
            domain: Some(FailureDomain::of(name)),
        },
        ["flush"] => Event::Flush,
        ["close"] => Event::Close { by: Instant::MAX },
        ["close", by] => Event::Close { by: time(by) },
        ["abort"] => Event::Abort,
        _ => panic!("no such event in a script: {line}"),
    };
    Step {
        at,
        event,
        text: line,
    }
}

fn number(word: &str) -> usize {
    word.parse()
        .unwrap_or_else(|_| panic!("not a number in a script: {word}"))
}

fn time(word: &str) -> Instant {
    let millis: f64 = word
        .parse()
        .unwrap_or_else(|_| panic!("not a time in a script: {word}"));
    Instant::from_micros((millis * 1000.0).round() as u64)
}

fn failure(word: &str) -> Failure {
    match word {
        "lost" => Failure::unanswered(Cause::ConnectionLost),
        "timeout" => Failure::unanswered(Cause::TimedOut),
        "unreachable" => Failure::not_sent(Cause::Unreachable),
        code => Failure::of_status(StatusCode::from_i32(number(code) as i32)),
    }
}
