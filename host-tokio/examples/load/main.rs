//! Writes records to several streams as fast as they are acknowledged, and prints the rate.
//!
//! ```text
//! cargo run --release --example load -- inet!127.0.0.1:8000 \
//!     --streams basic-stream-3,basic-stream-4 --in-flight 8192
//! cargo run --release --example load -- --null   # a proxy in this process that stores nothing
//! ```

use core::time::Duration;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Instant;

use distributedlog::writer::Settings;
use distributedlog_tokio::MultiStreamWriter;
use tokio::task::JoinSet;

mod null_proxy;

struct Options {
    name: Option<String>,
    streams: Vec<String>,
    record_bytes: usize,
    buffer_size: usize,
    in_flight: usize,
    tasks: usize,
    time: Duration,
    identity: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        name: None,
        streams: (3..8).map(|i| format!("basic-stream-{i}")).collect(),
        record_bytes: 100,
        buffer_size: 16 * 1024,
        in_flight: 8_192,
        tasks: 4,
        time: Duration::from_secs(5),
        identity: true,
    };
    let mut arguments = std::env::args().skip(1);
    let mut null = false;
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        let number = |text: String| {
            text.parse::<usize>()
                .map_err(|_| format!("{text:?} is no number"))
        };
        match argument.as_str() {
            "--null" => null = true,
            "--no-identity" => options.identity = false,
            "--streams" => options.streams = value()?.split(',').map(str::to_owned).collect(),
            "--record-bytes" => options.record_bytes = number(value()?)?,
            "--buffer-size" => options.buffer_size = number(value()?)?,
            "--in-flight" => options.in_flight = number(value()?)?,
            "--tasks" => options.tasks = number(value()?)?.max(1),
            "--seconds" => options.time = Duration::from_secs(number(value()?)? as u64),
            name => options.name = Some(name.to_owned()),
        }
    }
    if options.name.is_some() == null {
        return Err(
            "give either the proxies' name, as in inet!127.0.0.1:8000, or --null".to_owned(),
        );
    }
    Ok(options)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match options() {
        Ok(options) => run(options).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    let name = match &options.name {
        Some(name) => name.clone(),
        None => format!(
            "inet!{}",
            null_proxy::spawn().map_err(|error| error.to_string())?
        ),
    };
    let settings = Settings::builder()
        .original_features()
        .buffer_size(options.buffer_size)
        .request_timeout(Duration::from_secs(30))
        .first_speculative_timeout(Duration::from_secs(10))
        .max_speculative_timeout(Duration::from_secs(20))
        .in_flight_sets(options.in_flight.clamp(1, 4_096))
        .pending_records(options.in_flight);
    let writer = MultiStreamWriter::builder(options.streams.clone())
        .proxies(name)
        .settings(settings)
        .identity(options.identity)
        .build()
        .await;
    let writer = writer.map_err(|error| error.to_string())?;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..options.tasks {
        let (writer, until) = (writer.clone(), began + options.time);
        let window = (options.in_flight / options.tasks).max(1);
        tasks.spawn(write(
            writer,
            vec![b'r'; options.record_bytes],
            window,
            until,
        ));
    }
    let mut latencies = Vec::new();
    let mut written = 0;
    while let Some(done) = tasks.join_next().await {
        let (count, times) = done.map_err(|error| error.to_string())??;
        written += count;
        latencies.extend(times);
    }
    let took = began.elapsed();
    let counters = writer.counters();
    writer.close().await;
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{written} records of {} bytes in {took:.2?}: {:.0} records/s, {:.0} sets/s, {} attempts, \
         p50 {:?}, p99 {:?}, max {:?}",
        options.record_bytes,
        written as f64 / took.as_secs_f64(),
        counters.sets_written as f64 / took.as_secs_f64(),
        counters.attempts,
        at(0.5),
        at(0.99),
        at(1.0),
    );
    Ok(())
}

/// Keeps `window` records in flight until the time is over; how many there were, and how long every
/// 64th of them took.
async fn write(
    writer: MultiStreamWriter,
    record: Vec<u8>,
    window: usize,
    until: Instant,
) -> Result<(u64, Vec<Duration>), String> {
    let mut in_flight = VecDeque::with_capacity(window);
    let (mut count, mut times) = (0_u64, Vec::new());
    loop {
        let now = (count % 64 == 0).then(Instant::now);
        if now.is_some_and(|now| now >= until) {
            break;
        }
        let acknowledgement = writer
            .submit(&record)
            .await
            .map_err(|error| error.to_string())?;
        in_flight.push_back((now, acknowledgement));
        count += 1;
        if in_flight.len() == window {
            finish(&mut in_flight, &mut times).await?;
        }
    }
    while !in_flight.is_empty() {
        finish(&mut in_flight, &mut times).await?;
    }
    Ok((count, times))
}

async fn finish<A>(
    in_flight: &mut VecDeque<(Option<Instant>, A)>,
    times: &mut Vec<Duration>,
) -> Result<(), String>
where
    A: Future<Output = distributedlog::writer::WriteResult>,
{
    let Some((began, acknowledgement)) = in_flight.pop_front() else {
        return Ok(());
    };
    acknowledgement.await.map_err(|error| error.to_string())?;
    times.extend(began.map(|began| began.elapsed()));
    Ok(())
}
