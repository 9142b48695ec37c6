use std::sync::{Arc, LazyLock};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, Method, StatusCode as Http, header};
use axum::response::{IntoResponse, Response};

use super::HttpState;
use super::problem::Problem;
use super::route::Route;

/// Content security policy of the page: it may run its own scripts and the package's WebAssembly
/// module, and send requests to this proxy. No inline scripts or styles, no other servers, and no
/// frames.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
                      connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A file of the page.
#[derive(Clone)]
struct PageFile {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal $path:literal $content_type:literal;)*) => {
        [$(PageFile {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../page/", $path)),
        },)*]
    };
}

/// The files of the page, which are part of the binary. Those in `package/` are built from `wasm/`;
/// a test compares the two.
static FILES: [PageFile; 13] = files! {
    "index.html" "index.html" "text/html; charset=utf-8";
    "page.css" "page.css" "text/css; charset=utf-8";
    "icon.svg" "icon.svg" "image/svg+xml";
    "page.js" "page.js" "text/javascript; charset=utf-8";
    "chart.js" "chart.js" "text/javascript; charset=utf-8";
    "proxy.js" "proxy.js" "text/javascript; charset=utf-8";
    "samples.js" "samples.js" "text/javascript; charset=utf-8";
    "side.js" "side.js" "text/javascript; charset=utf-8";
    "streams.js" "streams.js" "text/javascript; charset=utf-8";
    "tail.js" "tail.js" "text/javascript; charset=utf-8";
    "web.js" "package/web.js" "text/javascript; charset=utf-8";
    "shared.js" "package/shared.js" "text/javascript; charset=utf-8";
    "distributedlog_bg.wasm" "package/distributedlog_bg.wasm" "application/wasm";
};

/// Returns the routes of the page and its files.
pub(super) fn routes(state: &Arc<HttpState>) -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/", index, state),
        Route::new(Method::GET, "/page/{file}", file, state),
    ]
}

/// Serves the page itself. Its demonstration, which writes, starts by itself only if the settings
/// say so.
async fn index(State(state): State<Arc<HttpState>>) -> Response {
    static DEMO: LazyLock<String> = LazyLock::new(|| {
        let page = str::from_utf8(FILES[0].bytes).expect("a test reads it as text");
        page.replacen("<html", "<html data-demo", 1)
    });
    let bytes = if state.settings.demo {
        DEMO.as_bytes()
    } else {
        FILES[0].bytes
    };
    serve(&PageFile {
        bytes,
        ..FILES[0].clone()
    })
}

/// Serves a file that the page loads.
async fn file(path: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let name = path.map_or_else(|_| String::new(), |Path(name)| name);
    let found = FILES[1..].iter().find(|file| file.name == name);
    let missing = || {
        Problem::new(
            Http::NOT_FOUND,
            "NO_SUCH_ROUTE",
            "the page has no such file",
        )
        .of_a_read()
    };
    found.map(serve).ok_or_else(missing)
}

fn serve(file: &PageFile) -> Response {
    let headers = [
        (header::CONTENT_TYPE, file.content_type),
        // Another version of the proxy has another page.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    (headers, file.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The policy keeps the browser from running any of it.
    #[test]
    fn nothing_in_the_page_is_inline_or_from_other_servers() {
        let index = core::str::from_utf8(FILES[0].bytes).expect("UTF-8");
        for inline in [
            "<style",
            "style=",
            "<script>",
            "onclick=",
            "javascript:",
            "http://",
            "https://",
        ] {
            assert!(!index.contains(inline), "{inline}");
        }
        for (at, _) in index.match_indices("/page/") {
            let name = index[at + "/page/".len()..]
                .split('"')
                .next()
                .expect("the rest");
            assert!(
                FILES.iter().any(|file| file.name == name),
                "{name} is not served"
            );
        }
    }

    #[test]
    fn every_script_that_is_imported_is_served() {
        for file in FILES
            .iter()
            .filter(|file| file.content_type.starts_with("text/javascript"))
        {
            let text = core::str::from_utf8(file.bytes).expect("UTF-8");
            for part in text
                .split("from \"./")
                .chain(text.split("from\"./"))
                .skip(1)
            {
                let name = part.split('"').next().expect("the rest");
                if name.len() < 30 && name.contains('.') {
                    assert!(
                        FILES.iter().any(|file| file.name == name),
                        "{}: {name} is not served",
                        file.name
                    );
                }
            }
        }
    }
}
