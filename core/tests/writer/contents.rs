//! Writers with compile-time features left out.

use distributedlog::writer::{
    Adaptive, AllFeatures, Budget, BuildError, Choice, Fixed, Health, Identity, OriginalFeatures,
    Settings, SettingsBuilder, StreamCount, Writer, WriterFeatures, WriterId,
};
use distributedlog::{AttemptId, Cause, Dlsn, Failure, Instant};
use distributedlog_testkit::Random;

use crate::ms;

type TestStorage = Fixed<5, 5, 20, 256>;

/// Returns everything that a writer does in a pseudo-random run from this seed.
fn life<P: WriterFeatures>(settings: SettingsBuilder, seed: u64) -> Vec<String> {
    let settings = settings
        .seed(seed)
        .in_flight_sets(4)
        .pending_records(20)
        .build()
        .unwrap();
    let mut writer =
        Writer::<_, P>::with_features(settings, StreamCount::new(5).unwrap(), TestStorage::new())
            .unwrap();
    let mut random = Random::new(seed);
    let mut told = Vec::new();
    let mut under_way: Vec<AttemptId> = Vec::new();
    let mut now = Instant::from_millis(1);
    for number in 0..500_u32 {
        now += ms(random.below(30));
        if random.chance(0.7) {
            told.push(format!("{:?}", writer.write(now, &number.to_be_bytes())));
        }
        if !under_way.is_empty() && random.chance(0.6) {
            let attempt = under_way.swap_remove(random.below(under_way.len() as u64) as usize);
            let outcome = match random.below(4) {
                0 => Err(Failure::unanswered(Cause::ConnectionLost)),
                1 => Err(Failure::overloaded(Cause::Refused, None)),
                _ => Ok(Dlsn::new(1, i64::from(number), 0)),
            };
            writer.handle_finished(now, attempt, outcome);
        }
        writer.handle_timeout(now);
        while let Some(attempt) = writer.poll_cancel() {
            told.push(format!("cancel {attempt:?}"));
            under_way.retain(|other| *other != attempt);
        }
        while let Some(attempt) = writer.poll_transmit(now) {
            told.push(format!(
                "start {:?} {:?} {:?}",
                attempt.id, attempt.stream, attempt.record_set
            ));
            under_way.push(attempt.id);
        }
        while let Some(record) = writer.poll_completed() {
            told.push(format!("{record:?} {:?}", writer.take(record)));
        }
        writer.assert_invariant();
    }
    told
}

#[test]
fn a_feature_left_out_by_type_behaves_as_one_switched_off() {
    let off = || {
        Settings::builder()
            .original_features()
            .buffer_size(0)
            .first_speculative_timeout(ms(20))
            .max_speculative_timeout(ms(80))
    };
    for seed in 0..50 {
        assert_eq!(
            life::<OriginalFeatures>(off(), seed),
            life::<AllFeatures>(off(), seed),
            "seed {seed}"
        );
    }
    assert_ne!(
        life::<AllFeatures>(off().recommended(), 1),
        life::<AllFeatures>(off(), 1),
        "the lives are long enough to tell"
    );
}

#[test]
fn a_writer_without_a_feature_that_its_settings_enable_is_not_built() {
    struct NoHealth;
    impl WriterFeatures for NoHealth {
        const HEALTH: bool = false;
    }
    fn build<P: WriterFeatures>(settings: SettingsBuilder) -> Result<(), BuildError> {
        Writer::<_, P>::with_features(
            settings.build().unwrap(),
            StreamCount::new(5).unwrap(),
            TestStorage::new(),
        )
        .map(drop)
    }
    let all = || {
        Settings::builder()
            .recommended()
            .identity(Identity::Trailer {
                writer: WriterId([1; 16]),
                first_sequence: 0,
            })
    };
    assert_eq!(build::<AllFeatures>(all()), Ok(()));
    assert_eq!(build::<NoHealth>(all()), Err(BuildError::MissingFeature));
    assert_eq!(build::<NoHealth>(all().health(Health::Off)), Ok(()));
    let none = all()
        .health(Health::Off)
        .budget(Budget::Off)
        .adaptive(Adaptive::Off)
        .identity(Identity::Off);
    assert_eq!(build::<OriginalFeatures>(none), Ok(()));
    for one in [
        none.health(Health::RECOMMENDED),
        none.budget(Budget::RECOMMENDED),
        none.adaptive(Adaptive::RECOMMENDED),
        none.choice(Choice::Load),
    ] {
        assert_eq!(
            build::<OriginalFeatures>(one),
            Err(BuildError::MissingFeature)
        );
    }
}

/// Settings can be constants: the compiler refuses invalid ones.
const SETTINGS: Settings = match Settings::builder().recommended().buffer_size(512).build() {
    Ok(settings) => settings,
    Err(_) => panic!("the settings are not within their bounds"),
};

#[test]
fn settings_in_constants_are_checked_too() {
    assert_eq!(
        Settings::builder().recommended().buffer_size(512).build(),
        Ok(SETTINGS)
    );
}
