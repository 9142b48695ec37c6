//! Tasks that write, wait, give up, flush and close, in an order drawn from the seed, over faulty
//! streams. No task hangs, and every result is true.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use distributedlog::writer::{Rounds, Settings, Written};
use distributedlog::{Cause, Clock, Failure, StreamIndex};
use distributedlog_testkit::{
    Executor, Faults, Faulty, Latency, MemoryStreams, Random, VirtualClock, writer,
};
use futures_lite::future::or;

use crate::ms;

/// Positions of the records, according to the writer.
type Acknowledged = Rc<RefCell<Vec<(Vec<u8>, Written)>>>;

struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the failing seed is {0}: DISTRIBUTEDLOG_SEED={0} plays it again",
                self.0
            );
        }
    }
}

#[test]
fn no_task_hangs_and_every_acknowledged_record_is_at_its_position() {
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|value| value.parse().expect("a number"))
    };
    let seeds = match variable("DISTRIBUTEDLOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("DISTRIBUTEDLOG_SEEDS").unwrap_or(300),
    };
    for seed in seeds {
        let guard = Seed(seed);
        live(seed);
        drop(guard);
    }
}

fn live(seed: u64) {
    let mut random = Random::new(seed);
    let streams = 1 + random.below(5) as usize;
    let settings = settings(&mut random);
    let mut executor = Executor::new(random.bits());
    let memory = MemoryStreams::new(
        executor.clock(),
        streams,
        Latency::Between(ms(1), ms(30)),
        random.bits(),
    );
    let (transport, faults) = Faulty::new(memory.clone(), executor.clock(), streams, random.bits());
    for stream in 0..streams {
        faults.set(StreamIndex(stream as u16), some_faults(&mut random));
    }
    let (handle, runner) = writer(settings, streams, executor.clock(), transport);
    let runner = executor.spawn(runner.run());
    let acknowledged = Acknowledged::default();
    let tasks: Vec<_> = (0..20 + random.below(60))
        .map(|task| {
            let user = User {
                writer: handle.clone(),
                clock: executor.clock(),
                random: Random::new(random.bits()),
                task,
                acknowledged: Rc::clone(&acknowledged),
            };
            executor.spawn(user.live())
        })
        .collect();
    let clock = executor.clock();
    let ends = clock.now() + ms(random.below(300));
    executor.run(clock.sleep_until(ends));
    match random.below(4) {
        0 => drop(executor.cancel(runner)),
        1 => executor.run(handle.close_within(ms(random.below(100)))),
        2 => executor.run(handle.close()),
        _ => {}
    }
    drop(handle);
    // Each set ends within 250 ms. With one set in flight and a record in each, 60 users write 7
    // records in at most 105 s.
    executor.run(clock.sleep_until(clock.now() + Duration::from_secs(200)));
    assert!(
        tasks.iter().all(|task| executor.is_finished(*task)),
        "a task hangs"
    );
    assert!(executor.is_finished(runner), "the runner hangs");
    for (record, written) in acknowledged.borrow().iter() {
        assert_eq!(
            memory.record_at(written.stream, written.dlsn).as_ref(),
            Some(record)
        );
    }
}

struct User<W> {
    writer: W,
    clock: VirtualClock,
    random: Random,
    task: u64,
    acknowledged: Acknowledged,
}

impl
    User<
        distributedlog::async_writer::MultiStreamWriter<
            distributedlog_testkit::SharedState<VirtualClock>,
        >,
    >
{
    async fn live(mut self) {
        for number in 0..self.random.below(8) {
            let mut record = format!("{}-{number}", self.task).into_bytes();
            record.resize(20 + self.random.below(60) as usize, 0);
            let nap = ms(self.random.below(20));
            let result = match self.random.below(6) {
                0 => match self.writer.try_write(&record) {
                    Ok(acknowledgement) => Some(acknowledgement.await),
                    Err(_) => None,
                },
                1 => match self.writer.reserve(record.len()).await {
                    Ok(permit) if self.random.chance(0.8) => match permit.submit(&record) {
                        Ok(acknowledgement) => Some(acknowledgement.await),
                        Err(_) => None,
                    },
                    Ok(_) | Err(_) => None,
                },
                2 => {
                    let given_up = self.clock.sleep_until(self.clock.now() + nap);
                    or(async { Some(self.writer.write(&record).await) }, async {
                        given_up.await;
                        None
                    })
                    .await
                }
                3 => {
                    self.writer.flush().await;
                    None
                }
                _ => Some(self.writer.write(&record).await),
            };
            if let Some(Ok(written)) = result {
                self.acknowledged.borrow_mut().push((record, written));
            }
            self.clock.sleep_until(self.clock.now() + nap).await;
        }
    }
}

fn settings(random: &mut Random) -> Settings {
    let builder = Settings::builder()
        .original_features()
        .buffer_size([0, 100, 1_000][random.below(3) as usize])
        .flush_when_idle(random.chance(0.5))
        .in_flight_sets(1 + random.below(4) as usize)
        .pending_records(1 + random.below(40) as usize)
        .request_timeout(ms(250))
        .first_speculative_timeout(ms(20))
        .max_speculative_timeout(ms(100))
        .seed(random.bits())
        .rounds(Rounds {
            limit: None,
            first_backoff: ms(2),
            max_backoff: ms(50),
        });
    builder.build().unwrap()
}

fn some_faults(random: &mut Random) -> Faults {
    let sometimes = |random: &mut Random| {
        if random.chance(0.3) {
            0.1 * random.below(8) as f64
        } else {
            0.0
        }
    };
    Faults {
        stall: random.chance(0.15),
        fail: sometimes(random),
        failure: Failure::not_sent(Cause::Unreachable),
        refuse: sometimes(random),
        lose_answer: sometimes(random),
        swallow_answer: sometimes(random),
        delay: (Duration::ZERO, ms(random.below(30))),
        answer_delay: (Duration::ZERO, ms(random.below(30))),
    }
}
