//! Names of streams and proxies, and addresses of namespaces.
#![no_main]

use distributedlog::names::Name;
use distributedlog::stream_name;
use distributedlog_store::StreamName;
use distributedlog_store::uri::Uri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let valid = stream_name::validate(text).is_ok();
    assert_eq!(
        StreamName::new(text).is_ok(),
        valid,
        "both say the same of a stream's name"
    );
    if let Ok(Name::Inet(hosts)) = Name::parse(text) {
        assert!(hosts.iter().count() > 0, "a name without a host is refused");
        assert!(hosts.iter().all(|host| !host.host.is_empty()));
    }
    if let Ok(uri) = text.parse::<Uri>() {
        let printed = uri.to_string();
        assert_eq!(
            printed.parse::<Uri>().as_ref(),
            Ok(&uri),
            "{printed} is what was read"
        );
    }
});
