use std::sync::{Arc, LazyLock};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, Method, StatusCode as Http, header};
use axum::response::{IntoResponse, Response};

use super::HttpState;
use super::problem::Problem;
use super::route::Route;

/// Content security policy of the demonstration: it may run its own scripts and the package's
/// WebAssembly module, and send requests to this proxy. No inline scripts or styles, no other
/// servers, and no frames.
const DEMO_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src \
                           'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

/// Content security policy of the console: no WebAssembly, and no text becomes a part of the
/// document or a script. What it shows was written by others.
const CONSOLE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                              connect-src 'self'; img-src 'self'; base-uri 'none'; form-action \
                              'none'; frame-ancestors 'none'; require-trusted-types-for \
                              'script'; trusted-types 'none'";

/// A file of one of the two pages.
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

/// The files of the demonstration, which are part of the binary. Those in `package/` are built from
/// `wasm/`; a test compares the two.
static DEMO: [PageFile; 14] = files! {
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
    "frames.js" "package/frames.js" "text/javascript; charset=utf-8";
    "distributedlog_bg.wasm" "package/distributedlog_bg.wasm" "application/wasm";
};

/// The files of the console, which are part of the binary as well.
static CONSOLE: [PageFile; 13] = files! {
    "index.html" "console/index.html" "text/html; charset=utf-8";
    "console.css" "console/console.css" "text/css; charset=utf-8";
    "icon.svg" "console/icon.svg" "image/svg+xml";
    "main.js" "console/main.js" "text/javascript; charset=utf-8";
    "api.js" "console/api.js" "text/javascript; charset=utf-8";
    "chart.js" "console/chart.js" "text/javascript; charset=utf-8";
    "dialogs.js" "console/dialogs.js" "text/javascript; charset=utf-8";
    "dom.js" "console/dom.js" "text/javascript; charset=utf-8";
    "overview.js" "console/overview.js" "text/javascript; charset=utf-8";
    "poll.js" "console/poll.js" "text/javascript; charset=utf-8";
    "records.js" "console/records.js" "text/javascript; charset=utf-8";
    "stream.js" "console/stream.js" "text/javascript; charset=utf-8";
    "streams.js" "console/streams.js" "text/javascript; charset=utf-8";
};

/// Returns the routes of the pages and their files.
pub(super) fn routes(state: &Arc<HttpState>) -> Vec<Route> {
    let console = async || serve(&CONSOLE[0], CONSOLE_POLICY);
    vec![
        Route::new(Method::GET, "/", console, state),
        Route::new(Method::GET, "/console/{file}", console_file, state),
        Route::new(Method::GET, "/demo", demo, state),
        Route::new(Method::GET, "/page/{file}", demo_file, state),
    ]
}

/// Serves the page of the demonstration, which writes. It starts by itself only if the settings say
/// so.
async fn demo(State(state): State<Arc<HttpState>>) -> Response {
    static STARTED: LazyLock<String> = LazyLock::new(|| {
        let page = str::from_utf8(DEMO[0].bytes).expect("a test reads it as text");
        page.replacen("<html", "<html data-demo", 1)
    });
    let bytes = if state.settings.demo {
        STARTED.as_bytes()
    } else {
        DEMO[0].bytes
    };
    let page = PageFile {
        bytes,
        ..DEMO[0].clone()
    };
    serve(&page, DEMO_POLICY)
}

/// Serves a file that the console loads.
async fn console_file(path: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    find(&CONSOLE, path).map(|file| serve(file, CONSOLE_POLICY))
}

/// Serves a file that the demonstration loads.
async fn demo_file(path: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    find(&DEMO, path).map(|file| serve(file, DEMO_POLICY))
}

/// Returns the file of a page that a path names. The page itself is not one.
fn find(
    files: &'static [PageFile],
    path: Result<Path<String>, PathRejection>,
) -> Result<&'static PageFile, Problem> {
    let name = path.map_or_else(|_| String::new(), |Path(name)| name);
    let found = files[1..].iter().find(|file| file.name == name);
    let missing = || {
        Problem::new(
            Http::NOT_FOUND,
            "NO_SUCH_ROUTE",
            "the page has no such file",
        )
        .of_a_read()
    };
    found.ok_or_else(missing)
}

fn serve(file: &PageFile, policy: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, file.content_type),
        // Another version of the proxy has another page.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, policy),
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

    const PAGES: [(&[PageFile], &str); 2] = [(&DEMO, "/page/"), (&CONSOLE, "/console/")];

    fn text(file: &PageFile) -> &'static str {
        core::str::from_utf8(file.bytes).expect("UTF-8")
    }

    /// The policies keep the browser from running any of it.
    #[test]
    fn nothing_in_the_pages_is_inline_or_from_other_servers() {
        for (files, folder) in PAGES {
            let index = text(&files[0]);
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
            for (at, _) in index.match_indices(folder) {
                let name = index[at + folder.len()..]
                    .split('"')
                    .next()
                    .expect("the rest");
                assert!(
                    files.iter().any(|file| file.name == name),
                    "{name} is not served"
                );
            }
        }
    }

    #[test]
    fn every_script_that_is_imported_is_served() {
        let scripts = |files: &'static [PageFile]| {
            let is_script = |file: &&PageFile| file.content_type.starts_with("text/javascript");
            files
                .iter()
                .filter(is_script)
                .map(move |file| (files, file))
        };
        for (files, file) in PAGES.iter().flat_map(|(files, _)| scripts(files)) {
            let text = text(file);
            for part in text
                .split("from \"./")
                .chain(text.split("from\"./"))
                .chain(text.split("import(\"./"))
                .skip(1)
            {
                let name = part.split('"').next().expect("the rest");
                if name.len() < 30 && name.contains('.') {
                    assert!(
                        files.iter().any(|file| file.name == name),
                        "{}: {name} is not served",
                        file.name
                    );
                }
            }
        }
    }

    /// Records and names are hostile: they become text, and the policy refuses anything else.
    #[test]
    fn the_console_makes_no_html_of_texts_and_stays_small() {
        let mut size = 0;
        for file in &CONSOLE {
            size += file.bytes.len();
            for sink in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(!text(file).contains(sink), "{}: {sink}", file.name);
            }
        }
        assert!(size <= 80 << 10, "{size} bytes: the limit is 80 KiB");
    }
}
