use std::collections::HashMap;

use distributedlog::wire::record_set::RecordSet;
use distributedlog::writer::{
    Counters, EnqueueError, FlushMark, Heap, RecordId, Reservation, Settings, StreamCount,
    WriteResult, Writer,
};
use distributedlog::{AttemptId, Dlsn, Instant, StreamIndex};

use super::parse::{Event, Step, steps};

/// Plays scripts against a machine, which can be inspected between them.
#[derive(Debug)]
pub struct Player {
    writer: Writer<Heap>,
    attempts: Vec<AttemptId>,
    records: HashMap<RecordId, String>,
    names: HashMap<String, RecordId>,
    reservations: HashMap<String, Reservation>,
    marks: Vec<FlushMark>,
    refusals: u32,
    finished: bool,
    actions: Vec<String>,
}

impl Player {
    /// Creates a writer whose streams, if there are at most six, come in the order 0, 1, 2…: it
    /// searches a seed for this order, unless the settings have a seed.
    ///
    /// # Panics
    ///
    /// If `streams` is 0 or above the maximum of a writer.
    #[must_use]
    pub fn new(settings: Settings, streams: usize) -> Self {
        let count = StreamCount::new(streams).expect("a valid number of streams");
        let settings = match settings.seed() {
            Some(_) => settings,
            // One seed in n! orders n streams: for more of them the search would take too long.
            None if streams > 6 => settings,
            None => settings
                .to_builder()
                .seed(ordering_seed(count))
                .build()
                .expect("any seed is valid"),
        };
        Self {
            writer: machine(settings, count),
            attempts: Vec::new(),
            records: HashMap::new(),
            names: HashMap::new(),
            reservations: HashMap::new(),
            marks: Vec::new(),
            refusals: 0,
            finished: false,
            actions: Vec::new(),
        }
    }

    /// Returns the machine.
    pub const fn writer(&mut self) -> &mut Writer<Heap> {
        &mut self.writer
    }

    /// Returns the id of the attempt with this number, counted from 1 in the order of their start.
    ///
    /// # Panics
    ///
    /// If fewer attempts were started.
    #[must_use]
    pub fn attempt(&self, number: usize) -> AttemptId {
        self.attempts[number - 1]
    }

    /// Returns the machine's counters.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.writer.counters()
    }

    /// Plays a script and returns the actions, line by line.
    pub fn play(&mut self, script: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for step in steps(script) {
            if !matches!(step.event, Event::Sleep) {
                self.run_timers_before(step.at, &mut lines);
            }
            self.carry_out(&step);
            if self.writer.poll_timeout().is_some_and(|at| at <= step.at) {
                self.writer.handle_timeout(step.at);
            }
            self.drive(step.at);
            lines.push(step.text);
            lines.append(&mut self.actions);
        }
        lines
    }

    fn run_timers_before(&mut self, end: Instant, lines: &mut Vec<String>) {
        while let Some(at) = self.writer.poll_timeout().filter(|at| *at < end) {
            self.writer.handle_timeout(at);
            self.drive(at);
            if !self.actions.is_empty() {
                lines.push(millis(at));
                lines.append(&mut self.actions);
            }
        }
    }

    fn carry_out(&mut self, step: &Step) {
        let at = step.at;
        match &step.event {
            Event::Nothing | Event::Sleep => {}
            Event::Write { name, len } => {
                let outcome = self.writer.write(at, &content(name, *len));
                self.accepted(name, outcome);
            }
            Event::Reserve { name, len } => match self.writer.reserve(*len) {
                Ok(reservation) => drop(self.reservations.insert(name.clone(), reservation)),
                Err(refused) => self.record_action(format!("refused {name}: {refused}")),
            },
            Event::Submit { name } => {
                let reservation = self
                    .reservations
                    .remove(name)
                    .expect("reserved before it is submitted");
                let outcome = self.writer.submit(at, reservation, &content(name, 0));
                self.accepted(name, outcome);
            }
            Event::Release { name } => {
                let reservation = self
                    .reservations
                    .remove(name)
                    .expect("reserved before it is released");
                self.writer.release(reservation);
            }
            Event::Answer { attempt, entry } => {
                self.writer.handle_finished(
                    at,
                    self.attempt(*attempt),
                    Ok(Dlsn::new(1, *entry, 0)),
                );
            }
            Event::Fail { attempt, failure } => {
                self.writer
                    .handle_finished(at, self.attempt(*attempt), Err(*failure))
            }
            Event::Refuse { starts } => self.refusals = *starts,
            Event::Forget { name } => self.writer.forget(self.names[name]),
            Event::Domain { stream, domain } => self.writer.set_failure_domain(*stream, *domain),
            Event::Flush => {
                let mark = self.writer.flush();
                self.marks.push(mark);
            }
            Event::Close { by } => self.writer.close(at, *by),
            Event::Abort => self.writer.abort(at),
        }
    }

    fn accepted(&mut self, name: &str, outcome: Result<RecordId, EnqueueError>) {
        match outcome {
            Ok(record) => {
                self.records.insert(record, name.to_owned());
                self.names.insert(name.to_owned(), record);
            }
            Err(refused) => self.record_action(format!("refused {name}: {refused}")),
        }
    }

    fn drive(&mut self, now: Instant) {
        while let Some(attempt) = self.writer.poll_cancel() {
            let number = 1 + self
                .attempts
                .iter()
                .position(|id| *id == attempt)
                .expect("only what was started is cancelled");
            self.record_action(format!("cancel {number}"));
        }
        while let Some(attempt) = self.writer.poll_transmit(now) {
            let (id, stream) = (attempt.id, attempt.stream);
            let content = record_names(attempt.record_set);
            if self.refusals > 0 {
                self.refusals -= 1;
                self.record_action(format!("no room on {}: {content}", stream.0));
                self.writer.handle_refused(now, id);
            } else {
                self.attempts.push(id);
                self.record_action(format!(
                    "start {} on {}: {content}",
                    self.attempts.len(),
                    stream.0
                ));
            }
        }
        while let Some(record) = self.writer.poll_completed() {
            let result = self
                .writer
                .take(record)
                .expect("what is announced can be taken");
            let name = self
                .records
                .remove(&record)
                .expect("only what was accepted completes");
            self.record_action(described(&name, result));
        }
        let flushed = self
            .marks
            .iter()
            .take_while(|mark| self.writer.is_flushed(**mark))
            .count();
        self.marks.drain(..flushed);
        for _ in 0..flushed {
            self.record_action("flushed".to_owned());
        }
        if self.writer.is_finished() && !core::mem::replace(&mut self.finished, true) {
            self.record_action("finished".to_owned());
        }
    }

    fn record_action(&mut self, line: String) {
        self.actions.push(format!("  {line}"));
    }
}

fn machine(settings: Settings, streams: StreamCount) -> Writer<Heap> {
    Writer::new(settings, streams, Heap::new(&settings, streams))
        .expect("the heap has what the settings ask for")
}

/// Searches a seed whose permutation of the streams is 0, 1, 2…
fn ordering_seed(streams: StreamCount) -> u64 {
    let in_order = |seed: &u64| {
        let few = streams.as_usize();
        let settings = Settings::builder()
            .original_features()
            .buffer_size(0)
            .in_flight_sets(few)
            .pending_records(few)
            .seed(*seed);
        let settings = settings.build().expect("valid settings");
        let mut writer = machine(settings, streams);
        (0..few).all(|index| {
            writer
                .write(Instant::ZERO, b"")
                .expect("there is room for a record for each stream");
            let attempt = writer
                .poll_transmit(Instant::ZERO)
                .expect("it is transmitted at once");
            attempt.stream == StreamIndex(index as u16)
        })
    };
    (0..100_000)
        .find(in_order)
        .expect("one in n! seeds, for a few streams")
}

fn content(name: &str, len: usize) -> Vec<u8> {
    let mut content = name.as_bytes().to_vec();
    content.resize(len.max(name.len()), b'.');
    content
}

fn record_names(record_set: &[u8]) -> String {
    let mut scratch = vec![0; 1 << 20];
    let set =
        RecordSet::parse(record_set, &mut scratch).expect("what is transmitted is a record set");
    let names: Vec<String> = set
        .records()
        .map(|record| {
            String::from_utf8_lossy(record)
                .trim_end_matches('.')
                .to_owned()
        })
        .collect();
    names.join(" ")
}

fn described(name: &str, result: WriteResult) -> String {
    match result {
        Ok(written) => {
            let Dlsn {
                log_segment_sequence_no,
                entry_id,
                slot_id,
            } = written.dlsn;
            format!(
                "done {name}: stream {}, {log_segment_sequence_no}/{entry_id}/{slot_id}",
                written.stream.0
            )
        }
        Err(error) => format!("failed {name}: {error}"),
    }
}

fn millis(at: Instant) -> String {
    let micros = at.as_micros();
    if micros.is_multiple_of(1000) {
        format!("{}", micros / 1000)
    } else {
        format!("{}", micros as f64 / 1000.0)
    }
}
