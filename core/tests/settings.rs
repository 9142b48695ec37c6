//! Settings as text: what a user's configuration file says.
#![cfg(feature = "serde")]

use core::time::Duration;

use distributedlog::writer::{Adaptive, Budget, Health, Identity, Rounds, Settings, WriterId};

#[test]
fn settings_come_back_as_they_were() {
    let settings = Settings::builder()
        .buffer_size(0)
        .request_timeout(Duration::from_secs(5))
        .seed(7)
        .hedging(false)
        .rounds(Rounds {
            limit: Some(3),
            ..Rounds::default()
        })
        .budget(Budget::Share {
            share: 0.25,
            per_second: 10,
            burst: 100,
        })
        .health(Health::Probation {
            strikes: 3,
            first_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
        })
        .adaptive(Adaptive::Quantile {
            quantile: 0.95,
            floor: Duration::from_millis(1),
            warm_up: 20,
        })
        .identity(Identity::Trailer {
            writer: WriterId([9; 16]),
            first_sequence: 1,
        })
        .build()
        .unwrap();
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
}

#[test]
fn what_is_not_said_is_the_default() {
    assert_eq!(
        serde_json::from_str::<Settings>("{}").unwrap(),
        Settings::default()
    );
    let some: Settings =
        serde_json::from_str(r#"{"buffer-size": 0, "flush-when-idle": false}"#).unwrap();
    assert_eq!(
        some,
        Settings::builder()
            .buffer_size(0)
            .flush_when_idle(false)
            .build()
            .unwrap()
    );
}

#[test]
fn illegal_settings_and_unknown_names_are_refused_with_the_reason() {
    let illegal =
        serde_json::from_str::<Settings>(r#"{"speculative-backoff-multiplier": 0.5}"#).unwrap_err();
    assert!(
        illegal
            .to_string()
            .contains("speculative_backoff_multiplier is 0.5; it must be within 1 to 1000"),
        "{illegal}"
    );
    let unknown = serde_json::from_str::<Settings>(r#"{"bufer-size": 0}"#).unwrap_err();
    assert!(
        unknown.to_string().contains("unknown field `bufer-size`"),
        "{unknown}"
    );
}
