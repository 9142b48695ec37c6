use axum::http::header;
use axum::response::IntoResponse;

/// The interface with the page, as an OpenAPI 3.1 document. A test compares it with the server:
/// routes, statuses, and the shape of every response.
const WITH_PAGE: &str = include_str!("openapi.json");

/// Returns the document of this build.
#[cfg(feature = "page")]
pub(super) const fn document() -> &'static str {
    WITH_PAGE
}

/// Returns the document of this build, in which `/` and `/demo` are problems and no file of theirs
/// exists.
#[cfg(not(feature = "page"))]
pub(super) fn document() -> &'static str {
    static DOCUMENT: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let mut document: serde_json::Value =
            serde_json::from_str(WITH_PAGE).expect("the tests parse it");
        let paths = document["paths"].as_object_mut().expect("paths");
        paths.remove("/page/{file}");
        paths.remove("/console/{file}");
        for path in ["/", "/demo"] {
            let page = &mut paths[path]["get"];
            page["summary"] = "No page: this proxy was built without it".into();
            let responses = page["responses"].as_object_mut().expect("responses");
            responses.remove("200");
            responses.insert(
                "404".to_owned(),
                serde_json::json!({"$ref": "#/components/responses/NotFound"}),
            );
        }
        serde_json::to_string_pretty(&document).expect("texts and numbers")
    });
    &DOCUMENT
}

/// Serves the document.
pub(super) async fn serve() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}
