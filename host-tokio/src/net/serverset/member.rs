//! Content of a member's node, as Twitter commons and Finagle write it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Maximum size of a member's node, above that of any real one.
const MAX_MEMBER_BYTES: usize = 64 << 10;

/// `{"serviceEndpoint":{"host":"proxy-1","port":8000},"additionalEndpoints":{},"status":"ALIVE","
/// shard":1}`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Json {
    service_endpoint: Endpoint,
    #[serde(default)]
    pub(super) additional_endpoints: BTreeMap<String, Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shard: Option<i32>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Json {
    /// One that serves there.
    pub(super) fn alive(service_endpoint: Endpoint) -> Self {
        Self {
            service_endpoint,
            additional_endpoints: BTreeMap::new(),
            status: Some("ALIVE".to_owned()),
            shard: None,
        }
    }
}

/// A member that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) host: String,
    pub(super) port: u16,
    /// -1 when it has none.
    pub(super) shard: i32,
}

impl Member {
    /// Decodes a member's node. Returns `None` if it does not serve, or has no such endpoint.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn parse(data: &[u8], endpoint: Option<&str>) -> Result<Option<Self>, String> {
        if data.len() > MAX_MEMBER_BYTES {
            return Err(format!(
                "it has {} bytes, and {MAX_MEMBER_BYTES} are the most",
                data.len()
            ));
        }
        let json: Json = serde_json::from_slice(data).map_err(|error| error.to_string())?;
        if json
            .status
            .as_deref()
            .is_some_and(|status| status != "ALIVE")
        {
            return Ok(None);
        }
        let shard = json.shard.unwrap_or(-1).max(-1);
        let at = match endpoint {
            None => Some(&json.service_endpoint),
            Some(name) => json.additional_endpoints.get(name),
        };
        match at {
            Some(Endpoint { port: 0, .. }) => Err("its port is 0".to_owned()),
            Some(Endpoint { host, .. }) if host.is_empty() => Err("its host is empty".to_owned()),
            Some(Endpoint { host, port }) => Ok(Some(Self {
                host: host.clone(),
                port: *port,
                shard,
            })),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &[u8] = br#"{"serviceEndpoint":{"host":"proxy-1","port":8000},
        "additionalEndpoints":{"thrift":{"host":"proxy-1","port":9000}},
        "status":"ALIVE","shard":3,"metadata":{"any":["thing"]}}"#;

    fn member(host: &str, port: u16, shard: i32) -> Member {
        Member {
            host: host.to_owned(),
            port,
            shard,
        }
    }

    #[test]
    fn a_member_is_where_its_endpoint_says() {
        assert_eq!(
            Member::parse(FULL, None),
            Ok(Some(member("proxy-1", 8000, 3)))
        );
        assert_eq!(
            Member::parse(FULL, Some("thrift")),
            Ok(Some(member("proxy-1", 9000, 3)))
        );
        assert_eq!(
            Member::parse(FULL, Some("http")),
            Ok(None),
            "it has no such endpoint"
        );
        let least = br#"{"serviceEndpoint":{"host":"10.0.0.1","port":8000}}"#;
        assert_eq!(
            Member::parse(least, None),
            Ok(Some(member("10.0.0.1", 8000, -1)))
        );
    }

    #[test]
    fn a_member_is_written_as_twitter_commons_write_it() {
        let mut json = Json::alive(Endpoint {
            host: "proxy-1".to_owned(),
            port: 8000,
        });
        json.shard = Some(1);
        let text = serde_json::to_string(&json).expect("it can be written");
        assert_eq!(
            text,
            concat!(
                r#"{"serviceEndpoint":{"host":"proxy-1","port":8000},"#,
                r#""additionalEndpoints":{},"status":"ALIVE","shard":1}"#
            )
        );
        assert_eq!(
            Member::parse(text.as_bytes(), None),
            Ok(Some(member("proxy-1", 8000, 1)))
        );
    }

    #[test]
    fn a_member_that_does_not_serve_is_none() {
        for status in ["DEAD", "STARTING", "STOPPED"] {
            let endpoint = r#"{"host":"h","port":1}"#;
            let json = format!(
                r#"{{"serviceEndpoint":{endpoint},"additionalEndpoints":{{}},"status":"{status}"}}"#
            );
            assert_eq!(Member::parse(json.as_bytes(), None), Ok(None), "{status}");
        }
    }

    #[test]
    fn what_is_no_member_is_refused_with_a_reason() {
        for (data, reason) in [
            (&b""[..], "EOF"),
            (b"{}", "serviceEndpoint"),
            (br#"{"serviceEndpoint":{"host":"h","port":70000}}"#, "70000"),
            (br#"{"serviceEndpoint":{"host":"h","port":0}}"#, "port is 0"),
            (
                br#"{"serviceEndpoint":{"host":"","port":1}}"#,
                "host is empty",
            ),
            (&[0xff; 8], "expected value"),
            (&[b' '; MAX_MEMBER_BYTES + 1], "65537 bytes"),
        ] {
            let error = Member::parse(data, None).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
