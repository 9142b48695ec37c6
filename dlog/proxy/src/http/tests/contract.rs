//! Compares the OpenAPI document with the server: every route, every status, the shape of every
//! response.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use serde_json::{Value, json};

use super::super::openapi;
use super::super::{HttpState, OperatorState, routes};
use super::kit::{Answered, Client, Version, record_set, settings, start, start_on, until_metric};
use crate::machine::location_of;
use crate::service::Service;
use crate::{HttpToken, MAX_RECORD_BYTES, SettingsBuilder};
use distributedlog_store::{LogStore, Owner, StreamName};
use distributedlog_testkit::store::MemoryStore;

const RECORDS: &str = "/v1/streams/{stream}/records";
const RETENTION: &str = "/v1/streams/{stream}/retention";
const OCTETS: &str = "content-type: application/octet-stream";

/// The document, and the responses that were seen.
struct Contract {
    document: Value,
    seen: BTreeSet<String>,
}

/// One documented method of one path.
struct Documented<'a> {
    method: String,
    path: &'a str,
    operation: &'a Value,
}

impl Contract {
    fn new() -> Self {
        Self {
            document: serde_json::from_str(openapi::document()).expect("JSON"),
            seen: BTreeSet::new(),
        }
    }

    fn operations(&self) -> Vec<Documented<'_>> {
        let mut all = Vec::new();
        for (path, methods) in self.document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                all.push(Documented {
                    method: method.to_uppercase(),
                    path,
                    operation,
                });
            }
        }
        all
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self
                .document
                .pointer(reference.trim_start_matches('#'))
                .unwrap_or_else(|| panic!("{reference}")),
            None => value,
        }
    }

    /// Checks a value against a schema of the document.
    fn validate(&self, schema: &Value, value: &Value, whose: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema)
            .unwrap_or_else(|error| panic!("{whose}: {error}"));
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{whose}: {value:#} {errors:#?}");
    }

    /// Checks a response against the one documented for its status, and notes that it was seen.
    fn check(&mut self, method: &str, path: &str, answer: &Answered) {
        let whose = format!("{method} {path} {}", answer.status.as_u16());
        let responses = &self.document["paths"][path][method.to_lowercase()]["responses"];
        let status = answer.status.as_str();
        let response = match responses.get(status).or_else(|| responses.get("default")) {
            Some(response) => self.resolve(response),
            None => panic!("{whose} is not documented: {answer:?}"),
        };
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            assert_eq!(header["required"], true, "{whose}");
            let text = answer.header(name);
            let value = text
                .parse::<i64>()
                .map_or_else(|_| json!(text), |number| json!(number));
            self.validate(&header["schema"], &value, &format!("{whose} {name}"));
        }
        match response["content"].as_object() {
            None => assert!(answer.body.is_empty(), "{whose}: {answer:?}"),
            Some(content) => {
                let kind = answer.header("content-type");
                let media = content
                    .get(kind)
                    .unwrap_or_else(|| panic!("{whose}: {kind} is not documented"));
                // Bytes have no schema.
                let schema = media.get("schema").cloned().unwrap_or_else(|| json!({}));
                for value in values(kind, answer) {
                    self.validate(&schema, &value, &whose);
                }
            }
        }
        let documented = if responses.get(status).is_some() {
            status
        } else {
            "default"
        };
        self.seen.insert(format!("{method} {path} {documented}"));
    }

    /// Sends a request, expects this status, and checks the response.
    async fn ask(
        &mut self,
        client: &Client,
        status: u16,
        method: &str,
        path: &str,
        asked: RequestParts<'_>,
    ) -> Answered {
        let target = format!(
            "{}{}",
            path.replace("{stream}", asked.stream)
                .replace("{code}", asked.code)
                .replace("{file}", asked.stream),
            asked.query
        );
        let answer = client.ask(method, &target, asked.headers, asked.body).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {target}: {answer:?}"
        );
        self.check(method, path, &answer);
        answer
    }
}

/// The parts of a request that its route does not determine.
struct RequestParts<'a> {
    stream: &'a str,
    code: &'a str,
    query: &'a str,
    headers: &'a [&'a str],
    body: Body,
}

fn of<'a>(stream: &'a str) -> RequestParts<'a> {
    RequestParts {
        stream,
        code: "517",
        query: "",
        headers: &[],
        body: Body::empty(),
    }
}

/// The values in a response's body: one, or those of the lines or events.
fn values(kind: &str, answer: &Answered) -> Vec<Value> {
    let text = String::from_utf8_lossy(&answer.body);
    let parse =
        |text: &str| serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    match kind {
        "application/x-ndjson" => text.lines().map(parse).collect(),
        "text/event-stream" => text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(parse)
            .collect(),
        kind if kind.contains("json") => vec![parse(&text)],
        _ => vec![json!(text)],
    }
}

#[tokio::test]
async fn every_route_is_documented_and_everything_documented_is_a_route() {
    let settings = Arc::new(settings().build().expect("valid settings"));
    let owner = Owner {
        shard: 1,
        address: "localhost:1".into(),
    };
    assert_eq!(&*location_of(&owner), "1;1;localhost:1");
    let service = Arc::new(Service::new(owner, &settings, MemoryStore::new()));
    let operator = OperatorState {
        service: service.clone(),
        faults: None,
    };
    let state = Arc::new(HttpState::new(service, settings));
    let served: BTreeSet<String> = routes(&state, &operator)
        .iter()
        .map(super::super::route::Route::name)
        .collect();
    let contract = Contract::new();
    let documented: BTreeSet<String> = contract
        .operations()
        .iter()
        .map(|it| format!("{} {}", it.method, it.path))
        .collect();
    assert_eq!(served, documented);
}

#[test]
fn the_document_is_sound() {
    let contract = Contract::new();
    assert_eq!(contract.document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for Documented {
        method,
        path,
        operation,
    } in contract.operations()
    {
        assert!(
            ids.insert(operation["operationId"].as_str().expect("an id")),
            "{method} {path}"
        );
        let parameters: Vec<&Value> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| contract.resolve(it))
            .collect();
        let in_path = |name: &str| {
            parameters
                .iter()
                .any(|it| it["in"] == "path" && it["name"] == name && it["required"] == true)
        };
        for name in path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
            .map(|(name, _)| name)
        {
            assert!(in_path(name), "{method} {path}: {name}");
        }
        for parameter in parameters {
            contract.validate(
                &parameter["schema"],
                &parameter["example"],
                &format!("{method} {path}: {}", parameter["name"]),
            );
        }
        for (status, response) in operation["responses"].as_object().expect("responses") {
            assert!(
                contract.resolve(response)["description"].is_string(),
                "{method} {path} {status}"
            );
        }
    }
    let text = openapi::document();
    for (kind, entries) in contract.document["components"]
        .as_object()
        .expect("components")
    {
        for name in entries
            .as_object()
            .expect("entries")
            .keys()
            .filter(|_| kind != "securitySchemes")
        {
            assert!(
                text.contains(&format!(r##""#/components/{kind}/{name}""##)),
                "{kind}/{name} is not used"
            );
        }
    }
}

#[tokio::test]
async fn every_documented_parameter_is_understood() {
    let (proxy, _) = start(settings().faults(true)).await;
    let client = Client::new(&proxy, Version::One);
    let contract = Contract::new();
    for Documented {
        method,
        path,
        operation,
    } in contract.operations()
    {
        for parameter in operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| contract.resolve(it))
        {
            assert_eq!(client.write("basic-stream-3", b"x").await.status, 200);
            let example = parameter["example"]
                .as_str()
                .map_or_else(|| parameter["example"].to_string(), str::to_owned);
            let name = parameter["name"].as_str().expect("a name");
            let mut query = Vec::new();
            let mut headers = Vec::new();
            let required = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|it| contract.resolve(it));
            for other in required
                .filter(|it| it["in"] == "query" && it["required"] == true && it["name"] != *name)
            {
                query.push(format!(
                    "{}={}",
                    other["name"].as_str().expect("a name"),
                    other["example"].as_str().expect("a text")
                ));
            }
            match parameter["in"].as_str() {
                Some("query") => query.push(format!("{name}={example}")),
                Some("header") => headers.push(format!("{name}: {example}")),
                Some("path") => {}
                other => panic!("{other:?}"),
            }
            if ["sort", "order", "search"].contains(&name) {
                query.push("details=true".to_owned());
            }
            if path == RECORDS && method == "GET" && name != "follow" {
                query.push("follow=false".to_owned());
            }
            let target = path
                .replace("{stream}", "basic-stream-3")
                .replace("{code}", "517")
                .replace("{file}", parameter["example"].as_str().unwrap_or("none"));
            let target = if query.is_empty() {
                target
            } else {
                format!("{target}?{}", query.join("&"))
            };
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let answer = client
                .ask(
                    &method,
                    &target,
                    &headers,
                    match (method.as_str(), path) {
                        ("POST", _) => "x",
                        ("PUT", RETENTION) => "{}",
                        _ => "",
                    },
                )
                .await;
            assert!(
                answer.status.is_success(),
                "{method} {target} {headers:?}: {answer:?}"
            );
            client
                .ask("DELETE", "/faults/basic-stream-3", &[], "")
                .await;
        }
    }
}

#[tokio::test]
async fn every_documented_status_is_answered_in_the_documented_shape() {
    let mut contract = Contract::new();
    successes(&mut contract).await;
    refusals_of_the_request(&mut contract).await;
    refusals_of_the_client_and_the_time(&mut contract).await;
    refusals_of_the_position(&mut contract).await;
    refusals_of_the_stream(&mut contract).await;
    failures_of_the_store(&mut contract).await;
    let documented: BTreeSet<String> = contract
        .operations()
        .iter()
        .flat_map(|it| {
            it.operation["responses"]
                .as_object()
                .expect("responses")
                .keys()
                .map(|status| format!("{} {} {status}", it.method, it.path))
        })
        .collect();
    assert_eq!(
        documented.difference(&contract.seen).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "documented, and not seen"
    );
}

async fn successes(contract: &mut Contract) {
    let (proxy, store) = start(settings().faults(true)).await;
    let client = Client::new(&proxy, Version::One);
    let set = record_set(&[b"a", b"\xff"], Some((7, 3)));
    let set = RequestParts {
        headers: &["content-type: application/vnd.distributedlog.record-set"],
        body: set.into(),
        ..of("s")
    };
    contract.ask(&client, 200, "POST", RECORDS, set).await;
    contract
        .ask(
            &client,
            200,
            "POST",
            RECORDS,
            RequestParts {
                body: "x".into(),
                ..of("s")
            },
        )
        .await;
    contract
        .ask(&client, 201, "PUT", "/v1/streams/{stream}", of("made"))
        .await;
    contract
        .ask(&client, 200, "PUT", "/v1/streams/{stream}", of("made"))
        .await;
    contract
        .ask(&client, 200, "GET", "/v1/streams/{stream}", of("made"))
        .await;
    contract
        .ask(&client, 200, "GET", "/v1/streams/{stream}", of("s"))
        .await;
    contract
        .ask(&client, 200, "GET", "/v1/streams", of(""))
        .await;
    contract
        .ask(
            &client,
            200,
            "GET",
            "/v1/streams",
            RequestParts {
                query: "?limit=1",
                ..of("")
            },
        )
        .await;
    for query in ["?details=true", "?details=true&limit=1&sort=rate"] {
        let rows = RequestParts { query, ..of("") };
        contract.ask(&client, 200, "GET", "/v1/streams", rows).await;
    }
    damage(&store, "s").await;
    for accept in ["accept: application/x-ndjson", "accept: text/event-stream"] {
        for query in ["?follow=false", "?follow=false&payload=text", "?limit=1"] {
            contract
                .ask(
                    &client,
                    200,
                    "GET",
                    RECORDS,
                    RequestParts {
                        query,
                        headers: &[accept],
                        ..of("s")
                    },
                )
                .await;
        }
    }
    contract
        .ask(
            &client,
            204,
            "GET",
            RECORDS,
            RequestParts {
                headers: &["last-event-id: 1,0,0;end"],
                ..of("s")
            },
        )
        .await;
    contract
        .ask(
            &client,
            204,
            "DELETE",
            RECORDS,
            RequestParts {
                query: "?before=1,1,0",
                ..of("s")
            },
        )
        .await;
    contract
        .ask(&client, 200, "GET", "/v1/streams/{stream}", of("s"))
        .await;
    contract
        .ask(&client, 204, "PUT", "/faults/{stream}/stall", of("s"))
        .await;
    contract
        .ask(
            &client,
            204,
            "PUT",
            "/faults/{stream}/fail/{code}",
            of("made"),
        )
        .await;
    contract.ask(&client, 200, "GET", "/faults", of("")).await;
    contract
        .ask(&client, 204, "DELETE", "/faults/{stream}", of("s"))
        .await;
    contract
        .ask(&client, 204, "DELETE", "/faults/{stream}", of("made"))
        .await;
    contract
        .ask(&client, 204, "DELETE", "/v1/streams/{stream}", of("s"))
        .await;
    retention(contract, &client, &store).await;
    for path in [
        "/healthz",
        "/readyz",
        "/ping",
        "/healthcheck",
        "/threads",
        "/metrics",
        "/openapi.json",
        "/v1/access",
        "/v1/overview",
    ] {
        contract.ask(&client, 200, "GET", path, of("")).await;
    }
    page(contract, &client).await;
}

/// The namespace's retention, a stream's own, and a store that has none.
async fn retention(contract: &mut Contract, client: &Client, store: &MemoryStore) {
    let set = |body: &'static str| RequestParts {
        body: body.into(),
        ..of("made")
    };
    let json = |answer: Answered| String::from_utf8_lossy(&answer.body).into_owned();
    let all = "/v1/retention";
    let week = set(r#"{"age_ms": 604800000}"#);
    let answer = contract.ask(client, 200, "PUT", all, week).await;
    let of_all = r#"{"age_ms":604800000,"bytes":null,"own":true}"#;
    assert_eq!(json(answer), of_all);
    let answer = contract
        .ask(client, 200, "GET", RETENTION, of("made"))
        .await;
    let inherited = of_all.replace("true", "false");
    assert_eq!(json(answer), inherited);
    let own = set(r#"{"bytes": 1000, "age_ms": null}"#);
    let answer = contract.ask(client, 200, "PUT", RETENTION, own).await;
    assert_eq!(json(answer), r#"{"age_ms":null,"bytes":1000,"own":true}"#);
    let answer = contract
        .ask(client, 200, "DELETE", RETENTION, of("made"))
        .await;
    assert_eq!(json(answer), inherited);
    let answer = contract.ask(client, 200, "GET", all, of("")).await;
    assert_eq!(json(answer), of_all);
    contract.ask(client, 200, "DELETE", all, of("")).await;
    for wrong in [
        "",
        "7d",
        "[]",
        r#"{"age": 7}"#,
        r#"{"age_ms": -1}"#,
        r#"{"bytes": 0}"#,
    ] {
        contract.ask(client, 400, "PUT", all, set(wrong)).await;
    }
    store.lack_retention();
    for path in [RETENTION, all] {
        for method in ["GET", "PUT", "DELETE"] {
            let refused = contract.ask(client, 501, method, path, set("{}")).await;
            assert!(refused.detail().contains("write proxies"), "{refused:?}");
        }
    }
}

#[cfg(feature = "page")]
async fn page(contract: &mut Contract, client: &Client) {
    for path in ["/", "/demo"] {
        contract.ask(client, 200, "GET", path, of("")).await;
    }
    for file in ["main.js", "console.css", "icon.svg"] {
        contract
            .ask(client, 200, "GET", "/console/{file}", of(file))
            .await;
    }
    contract
        .ask(client, 404, "GET", "/console/{file}", of("index.html"))
        .await;
    for file in ["page.js", "page.css", "icon.svg", "distributedlog_bg.wasm"] {
        contract
            .ask(client, 200, "GET", "/page/{file}", of(file))
            .await;
    }
    contract
        .ask(client, 404, "GET", "/page/{file}", of("index.php"))
        .await;
}

#[cfg(not(feature = "page"))]
async fn page(contract: &mut Contract, client: &Client) {
    for path in ["/", "/demo"] {
        let none = contract.ask(client, 404, "GET", path, of("")).await;
        assert_eq!(
            none.detail(),
            "this proxy was built without its pages: /openapi.json lists the routes"
        );
    }
    for file in ["/page/page.js", "/console/main.js"] {
        assert_eq!(client.get(file).await.status, 404, "{file}");
    }
}

/// Writes a set that cannot be decoded into a stream, without the proxy.
async fn damage(store: &Arc<MemoryStore>, stream: &str) {
    use distributedlog_store::{Acquired, Entry, EntryRecord};
    let name = StreamName::new(stream).expect("a name");
    let owner = store
        .describe(&name)
        .await
        .expect("it is there")
        .owner
        .expect("the proxy owns it");
    let Acquired::Granted(lease) = store.acquire(&name, &owner).await.expect("it is open") else {
        panic!("the owner may")
    };
    let record = EntryRecord {
        payload: "broken".into(),
        slots: 3,
        is_record_set: true,
    };
    store.append(
        &lease,
        Entry {
            records: vec![record],
        },
        Box::new(|result| assert!(result.is_ok(), "it is open")),
    );
}

async fn refusals_of_the_request(contract: &mut Contract) {
    let (proxy, _) = start(settings().faults(true)).await;
    let client = Client::new(&proxy, Version::One);
    for (method, path) in [
        ("PUT", "/v1/streams/{stream}"),
        ("GET", "/v1/streams/{stream}"),
        ("DELETE", "/v1/streams/{stream}"),
        ("GET", RETENTION),
        ("PUT", RETENTION),
        ("DELETE", RETENTION),
        ("PUT", "/v1/retention"),
    ] {
        contract.ask(&client, 400, method, path, of("a%20b")).await;
    }
    contract
        .ask(
            &client,
            400,
            "GET",
            "/v1/streams",
            RequestParts {
                query: "?limit=0",
                ..of("")
            },
        )
        .await;
    contract
        .ask(
            &client,
            400,
            "GET",
            RECORDS,
            RequestParts {
                query: "?from=then",
                ..of("s")
            },
        )
        .await;
    let unknown = RequestParts {
        query: "?limit=0",
        ..of("")
    };
    contract.ask(&client, 400, "GET", "/metrics", unknown).await;
    contract.ask(&client, 400, "DELETE", RECORDS, of("s")).await;
    contract
        .ask(
            &client,
            400,
            "PUT",
            "/faults/{stream}/fail/{code}",
            RequestParts {
                code: "x",
                ..of("s")
            },
        )
        .await;
    for headers in [
        &["dlog-crc32: 00000000"],
        &["content-type: application/vnd.distributedlog.record-set"],
    ] {
        contract
            .ask(
                &client,
                400,
                "POST",
                RECORDS,
                RequestParts {
                    headers,
                    body: "x".into(),
                    ..of("s")
                },
            )
            .await;
    }
    contract
        .ask(
            &client,
            413,
            "POST",
            RECORDS,
            RequestParts {
                body: vec![0; MAX_RECORD_BYTES + 1].into(),
                ..of("s")
            },
        )
        .await;
    contract
        .ask(
            &client,
            415,
            "POST",
            RECORDS,
            RequestParts {
                headers: &["content-type: image/png"],
                body: "x".into(),
                ..of("s")
            },
        )
        .await;
    for (method, path) in [
        ("GET", "/v1/streams/{stream}"),
        ("DELETE", "/v1/streams/{stream}"),
        ("GET", RECORDS),
        ("GET", RETENTION),
        ("DELETE", RETENTION),
    ] {
        contract.ask(&client, 404, method, path, of("none")).await;
    }
    let limits = RequestParts {
        body: "{}".into(),
        ..of("none")
    };
    contract.ask(&client, 404, "PUT", RETENTION, limits).await;
    contract
        .ask(
            &client,
            404,
            "DELETE",
            RECORDS,
            RequestParts {
                query: "?before=1,0,0",
                ..of("none")
            },
        )
        .await;
    let limit = core::time::Duration::from_millis(50);
    let (proxy, _) = start(settings().frame_timeout(limit)).await;
    let client = Client::new(&proxy, Version::One);
    let never = Body::from_stream(futures_util::stream::pending::<
        Result<bytes::Bytes, std::io::Error>,
    >());
    contract
        .ask(
            &client,
            408,
            "POST",
            RECORDS,
            RequestParts {
                body: never,
                ..of("s")
            },
        )
        .await;
    let (proxy, _) = start(settings().create_missing_streams(false)).await;
    let client = Client::new(&proxy, Version::One);
    contract
        .ask(
            &client,
            404,
            "POST",
            RECORDS,
            RequestParts {
                body: "x".into(),
                ..of("none")
            },
        )
        .await;
    for (method, path) in [
        ("GET", "/faults"),
        ("DELETE", "/faults/{stream}"),
        ("PUT", "/faults/{stream}/stall"),
        ("PUT", "/faults/{stream}/fail/{code}"),
    ] {
        contract.ask(&client, 404, method, path, of("s")).await;
    }
}

/// For every operation that documents them: no token, a page of another origin, a proxy that shuts
/// down.
async fn refusals_of_the_client_and_the_time(contract: &mut Contract) {
    let token = HttpToken::new("0123456789abcdef").expect("a token");
    let (proxy, _) = start(settings().faults(true).http_token(Some(token))).await;
    let client = Client::new(&proxy, Version::One);
    let listed: Vec<(String, String, Value)> = contract
        .operations()
        .into_iter()
        .map(|it| (it.method, it.path.to_owned(), it.operation.clone()))
        .collect();
    for (method, path, operation) in &listed {
        let asked = || RequestParts {
            headers: &[],
            ..of("s")
        };
        let open = operation["security"] == json!([{}]);
        assert_eq!(
            operation["responses"].get("401").is_none(),
            open,
            "{method} {path}"
        );
        if !open {
            contract.ask(&client, 401, method, path, asked()).await;
        }
        contract
            .ask(
                &client,
                403,
                method,
                path,
                RequestParts {
                    headers: &["origin: https://example.org"],
                    ..asked()
                },
            )
            .await;
    }
    let (proxy, store) = start(settings().faults(true)).await;
    let client = Client::new(&proxy, Version::Two);
    store.hold_appends();
    let holding = client.ask("POST", "/v1/streams/s/records", &[OCTETS], "x");
    let draining = async {
        store.until(|store| store.held_appends() == 1).await;
        let drain = proxy.drain();
        let during = async {
            let late = Client::new(&proxy, Version::One);
            until_metric(&late, "dlog_proxy_accepting", 0.0).await;
            for (method, path, operation) in &listed {
                if operation["responses"].get("503").is_some() {
                    contract.ask(&late, 503, method, path, of("s")).await;
                }
            }
            store.release_appends();
        };
        tokio::join!(drain, during);
    };
    tokio::join!(holding, draining);
}

/// Refusals that depend on the stream and its owner.
async fn refusals_of_the_position(contract: &mut Contract) {
    let (proxy, _) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    client.write("s", b"x").await;
    let created = client.get("/v1/streams/s").await.json()["created_ms"].clone();
    let asked = RequestParts {
        headers: &["accept: application/x-ndjson;q=0, text/event-stream;q=0"],
        ..of("s")
    };
    contract.ask(&client, 406, "GET", RECORDS, asked).await;
    for (status, position) in [
        (409, format!("1,1,1@{created}")),
        (410, "1,0,0@1".to_owned()),
    ] {
        for (method, parameter) in [("GET", "from"), ("DELETE", "before")] {
            let asked = RequestParts {
                query: &format!("?{parameter}={position}"),
                ..of("s")
            };
            contract.ask(&client, status, method, RECORDS, asked).await;
        }
    }
}

async fn refusals_of_the_stream(contract: &mut Contract) {
    let needing_the_owner = [
        ("POST", RECORDS, ""),
        ("DELETE", RECORDS, "?before=1,0,0"),
        ("DELETE", "/v1/streams/{stream}", ""),
    ];
    let announced = |name: &str| -> SettingsBuilder { settings().announce(Some(name.to_owned())) };
    let (one, store) = start(announced("one:8000")).await;
    let two = start_on(announced("two:8000").shard(2), &store).await;
    let (to_one, to_two) = (
        Client::new(&one, Version::One),
        Client::new(&two, Version::One),
    );
    to_two.write("s", b"x").await;
    for (method, path, query) in needing_the_owner {
        let refused = contract
            .ask(
                &to_one,
                421,
                method,
                path,
                RequestParts {
                    query,
                    body: "x".into(),
                    ..of("s")
                },
            )
            .await;
        assert_eq!(refused.json()["owner"]["address"], "two:8000");
    }
    let (proxy, store) = start(settings().faults(true).max_requests_per_stream(1)).await;
    let client = Client::new(&proxy, Version::Two);
    let faults = proxy.faults().expect("the settings allow it");
    faults.fail("s", distributedlog::StatusCode::WriteException);
    contract
        .ask(
            &client,
            500,
            "POST",
            RECORDS,
            RequestParts {
                body: "x".into(),
                ..of("s")
            },
        )
        .await;
    faults.stall("s");
    contract
        .ask(
            &client,
            504,
            "POST",
            RECORDS,
            RequestParts {
                headers: &["dlog-timeout-ms: 1"],
                body: "x".into(),
                ..of("s")
            },
        )
        .await;
    assert!(store.list().await.expect("it is open").is_empty());
    let waiting = client.ask("POST", "/v1/streams/s/records", &[], "x");
    let pushing = async {
        until_metric(&client, "dlog_proxy_requests_unanswered", 1.0).await;
        for (method, path, query) in needing_the_owner {
            contract
                .ask(
                    &client,
                    429,
                    method,
                    path,
                    RequestParts {
                        query,
                        body: "x".into(),
                        ..of("s")
                    },
                )
                .await;
        }
        faults.clear("s");
    };
    assert_eq!(tokio::join!(waiting, pushing).0.status, 200);
}

/// Codes without a status of their own, for every operation that needs the store.
async fn failures_of_the_store(contract: &mut Contract) {
    too_many_to_describe(contract).await;
    let (proxy, store) = start(settings()).await;
    let client = Client::new(&proxy, Version::One);
    assert_eq!(client.write("s", b"x").await.status, 200);
    store.fail_all();
    let listed: Vec<(String, String)> = contract
        .operations()
        .iter()
        .filter(|it| it.operation["responses"].get("default").is_some())
        .map(|it| (it.method.clone(), it.path.to_owned()))
        .collect();
    for (method, path) in &listed {
        let query = if (method.as_str(), path.as_str()) == ("DELETE", RECORDS) {
            "?before=1,0,0"
        } else {
            ""
        };
        let failed = contract
            .ask(
                &client,
                500,
                method,
                path,
                RequestParts {
                    query,
                    body: if path.ends_with("/retention") {
                        "{}"
                    } else {
                        "x"
                    }
                    .into(),
                    ..of("s")
                },
            )
            .await;
        let known = (method == "POST").then_some("unknown");
        if method == "GET" || known.is_some() {
            assert_eq!(failed.json()["known"].as_str(), known, "{method} {path}");
        }
    }
}

/// A store that has no streams in short cannot sort many by size.
async fn too_many_to_describe(contract: &mut Contract) {
    let store = MemoryStore::new();
    for number in 0..1_001 {
        let name = StreamName::new(&format!("s-{number}")).expect("a name");
        store.create(&name).await.expect("it is new");
    }
    let proxy = start_on(settings(), &store).await;
    let client = Client::new(&proxy, Version::One);
    let by_size = RequestParts {
        query: "?details=true&sort=bytes",
        ..of("")
    };
    contract
        .ask(&client, 501, "GET", "/v1/streams", by_size)
        .await;
}
