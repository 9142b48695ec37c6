//! What settings are refused, and what memory the machines take.

use core::mem::size_of;
use core::time::Duration;

use distributedlog::client::routing::{
    Client, Location, LocationError, Resend, Settings, SettingsError,
};
use distributedlog::client::session::{self, Session};
use distributedlog::settings::{SettingRange, SettingValue};

const SECOND: Duration = Duration::from_secs(1);
const ZERO: Duration = Duration::ZERO;

#[test]
fn the_defaults_are_the_originals_where_it_has_the_setting() {
    let settings = Settings::default();
    assert_eq!(
        settings,
        Settings::builder().build().expect("the defaults are valid")
    );
    assert_eq!(
        (settings.attempt_timeout(), settings.connect_timeout()),
        (SECOND, Duration::from_millis(200))
    );
    assert_eq!(
        (
            settings.request_timeout(),
            settings.checksum(),
            settings.resend()
        ),
        (None, true, Resend::WhenNotWritten)
    );
}

#[test]
fn each_setting_of_routing_that_is_out_of_its_bounds_is_refused_by_name() {
    let ns = Duration::from_nanos(1);
    let refused = |setting, value, range| SettingsError {
        setting,
        value,
        range,
    };
    let zero = |setting| {
        let range = SettingRange::Times(ns, Duration::MAX);
        refused(setting, SettingValue::Time(ZERO), range)
    };
    let short = |setting, value| {
        let range = SettingRange::Times(SECOND, Duration::MAX);
        refused(setting, SettingValue::Time(value), range)
    };
    let (start, max) = (2 * SECOND, SECOND);
    for (builder, error, text) in [
        (
            Settings::builder()
                .redirect_backoff_start(start)
                .redirect_backoff_max(max),
            refused(
                "redirect_backoff_start",
                SettingValue::Time(start),
                SettingRange::UpTo(ZERO, "redirect_backoff_max", max),
            ),
            "redirect_backoff_start is 2s; it must be at most redirect_backoff_max, 1s",
        ),
        (
            Settings::builder().blackout_start(start).blackout_max(max),
            refused(
                "blackout_start",
                SettingValue::Time(start),
                SettingRange::UpTo(ns, "blackout_max", max),
            ),
            "blackout_start is 2s; it must be at least 1ns and at most blackout_max, 1s",
        ),
        (
            Settings::builder().request_timeout(Some(ZERO)),
            zero("request_timeout"),
            "request_timeout is 0ns; it must be at least 1ns",
        ),
        (
            Settings::builder().attempt_timeout(ZERO),
            zero("attempt_timeout"),
            "attempt_timeout is 0ns; it must be at least 1ns",
        ),
        (
            Settings::builder().connect_timeout(ZERO),
            zero("connect_timeout"),
            "connect_timeout is 0ns; it must be at least 1ns",
        ),
        (
            Settings::builder().blackout_start(ZERO),
            refused(
                "blackout_start",
                SettingValue::Time(ZERO),
                SettingRange::UpTo(ns, "blackout_max", 10 * SECOND),
            ),
            "blackout_start is 0ns; it must be at least 1ns and at most blackout_max, 10s",
        ),
        (
            Settings::builder().max_redirects(Some(0)),
            refused(
                "max_redirects",
                SettingValue::Count(0),
                SettingRange::Counts(1, u64::MAX),
            ),
            "max_redirects is 0; it must be at least 1",
        ),
        (
            Settings::builder().periodic_handshake_interval(SECOND / 2),
            short("periodic_handshake_interval", SECOND / 2),
            "periodic_handshake_interval is 500ms; it must be at least 1s",
        ),
        (
            Settings::builder().ownership_sync_interval(ZERO),
            short("ownership_sync_interval", ZERO),
            "ownership_sync_interval is 0ns; it must be at least 1s",
        ),
    ] {
        assert_eq!(builder.build(), Err(error));
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn each_setting_of_a_session_that_is_out_of_its_bounds_is_refused_by_name() {
    let long = "x".repeat(65);
    for (builder, text) in [
        (
            session::Settings::builder().client_id(&long),
            "client_id is 65; it must be at most 64 bytes long",
        ),
        (
            session::Settings::builder().max_frame_bytes(255),
            "max_frame_bytes is 255; it must be at least 256",
        ),
        (
            session::Settings::builder().idle_ping_interval(Some(ZERO)),
            "idle_ping_interval is 0ns; it must be at least 1ns",
        ),
        (
            session::Settings::builder().silence_before_ping(ZERO),
            "silence_before_ping is 0ns; it must be at least 1ns",
        ),
        (
            session::Settings::builder().ping_timeout(ZERO),
            "ping_timeout is 0ns; it must be at least 1ns",
        ),
    ] {
        assert_eq!(
            builder.build().expect_err("out of bounds").to_string(),
            text
        );
    }
    assert!(
        session::Settings::builder()
            .client_id(&long[..64])
            .max_frame_bytes(256)
            .build()
            .is_ok()
    );
}

#[test]
fn a_location_is_read_as_proxies_write_it_and_nothing_else_is() {
    for (text, shard, host, port) in [
        ("1;11;localhost:8120", 11, "localhost", 8120),
        ("1;-1;127.0.0.1:65535", -1, "127.0.0.1", 65535),
        ("1;0;[::1]:80", 0, "[::1]", 80),
        ("1;0;::1:80", 0, "::1", 80),
    ] {
        let location = Location { shard, host, port };
        assert_eq!(Location::parse(text), Ok(location));
        assert_eq!(location.to_string(), text);
    }
    for (text, error) in [
        ("", LocationError::Parts),
        ("1;2", LocationError::Parts),
        ("2;1;a:1", LocationError::Version),
        ("1;x;a:1", LocationError::Shard),
        ("1;1;a", LocationError::Address),
        ("1;1;:1", LocationError::Address),
        ("1;1;a:0", LocationError::Address),
        ("1;1;a:65536", LocationError::Address),
        ("1;1;a:1;b", LocationError::Address),
    ] {
        assert_eq!(Location::parse(text), Err(error), "{text}");
    }
}

/// A table of numbers, so that a change of the memory needed shows as a change here.
#[test]
fn the_machines_take_no_more_memory_than_is_kept_here() {
    type Device = Client<2, 4, 8>;
    for (what, bytes, most) in [
        (
            "Client on a device: 2 hosts, 4 streams, 8 requests",
            size_of::<Device>(),
            3_200,
        ),
        (
            "Client by default: 16 hosts, 64 streams, 256 requests",
            size_of::<Client>(),
            72_000,
        ),
        (
            "each further host",
            size_of::<Client<3, 4, 8>>() - size_of::<Device>(),
            520,
        ),
        (
            "each further stream of 2 hosts",
            size_of::<Client<2, 5, 8>>() - size_of::<Device>(),
            72,
        ),
        (
            "each further request",
            size_of::<Client<2, 4, 9>>() - size_of::<Device>(),
            208,
        ),
        (
            "Session on a device: 8 requests",
            size_of::<Session<8>>(),
            640,
        ),
        (
            "each further request of a session",
            size_of::<Session<9>>() - size_of::<Session<8>>(),
            48,
        ),
    ] {
        println!("{what}: {bytes}");
        assert!(
            bytes <= most,
            "{what} takes {bytes} bytes, more than {most}"
        );
    }
}
