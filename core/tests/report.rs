//! Reports of a writer with the feature `log`.

use std::sync::Mutex;

use distributedlog::writer::{Budget, Health, Heap, Settings, StreamCount, Writer};
use distributedlog::{Cause, Dlsn, Failure, Instant};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

#[test]
fn a_writer_reports_hedges_failures_and_the_health_of_streams() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let settings = Settings::builder()
        .original_features()
        .buffer_size(0)
        .budget(Budget::RECOMMENDED)
        .health(Health::RECOMMENDED)
        .seed(1)
        .build()
        .unwrap();
    let count = StreamCount::new(2).unwrap();
    let mut writer = Writer::new(settings, count, Heap::new(&settings, count)).unwrap();
    let mut now = Instant::ZERO;

    // The first stream is overtaken three times.
    let mut slow = None;
    for _ in 0..6 {
        writer.write(now, b"record").unwrap();
        let mut attempts = Vec::new();
        while let Some(attempt) = writer.poll_transmit(now) {
            attempts.push((attempt.id, attempt.stream));
        }
        let (id, stream) = attempts[0];
        if *slow.get_or_insert(stream) == stream && attempts.len() == 1 {
            now = writer.poll_timeout().unwrap();
            writer.handle_timeout(now);
            let hedge = writer.poll_transmit(now).unwrap().id;
            writer.handle_finished(now, hedge, Ok(Dlsn::INITIAL));
        } else {
            writer.handle_finished(now, id, Ok(Dlsn::INITIAL));
        }
        while writer.poll_cancel().is_some() {}
    }
    // No proxy is there.
    writer.write(now, b"record").unwrap();
    let end = now + settings.request_timeout();
    while now < end {
        while let Some(id) = writer.poll_transmit(now).map(|attempt| attempt.id) {
            writer.handle_finished(now, id, Err(Failure::not_sent(Cause::Unreachable)));
        }
        now = writer.poll_timeout().unwrap_or(end);
        writer.handle_timeout(now);
    }

    let lines = LINES.lock().unwrap().clone();
    let slow = slow.unwrap().0;
    for expected in [
        "DEBUG a set is hedged; attempts before: 1".to_owned(),
        format!("WARN stream {slow} is on probation"),
        "WARN the records of a set failed; attempts:".to_owned(),
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(&expected)),
            "{expected}: {lines:#?}"
        );
    }
    assert!(lines.iter().any(|line| line.ends_with("not-written")));
}
