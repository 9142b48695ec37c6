//! Positions as bytes and as text.
#![no_main]

use distributedlog::Dlsn;
use distributedlog_store::dlsn_text::parse_dlsn;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(dlsn) = Dlsn::from_bytes(bytes) {
        assert_eq!(Dlsn::from_bytes(&dlsn.to_bytes()), Ok(dlsn));
        assert_eq!(dlsn.to_text().as_str().parse(), Ok(dlsn));
        assert_eq!(
            parse_dlsn(&dlsn.to_string()),
            Ok(dlsn),
            "what is printed is read"
        );
    }
    if let Ok(text) = core::str::from_utf8(bytes) {
        if let Ok(dlsn) = text.parse::<Dlsn>() {
            assert_eq!(dlsn.to_text().as_str().parse(), Ok(dlsn));
        }
        if let Ok(dlsn) = parse_dlsn(text) {
            assert_eq!(parse_dlsn(&dlsn.to_string()), Ok(dlsn));
        }
    }
});
