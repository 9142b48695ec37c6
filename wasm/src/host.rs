//! What is asked of the JavaScript side.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The TypeScript half of a writer (`wasm/npm/src/writer.ts`). Its methods throw nothing: an
    /// exception would leave this side's state borrowed for ever.
    pub type Host;

    /// Send a record set to a stream, and report through `WriterHandle.finished` exactly once,
    /// unless it is aborted first.
    #[wasm_bindgen(method)]
    pub(crate) fn send(
        this: &Host,
        attempt: f64,
        stream: u32,
        record_set: Uint8Array,
        earlier_attempts: u32,
        timeout_ms: f64,
    );

    /// Abort a request that was sent; nobody waits for its report.
    #[wasm_bindgen(method)]
    pub(crate) fn abort(this: &Host, attempt: f64);

    /// The record of this token was written.
    #[wasm_bindgen(method)]
    pub(crate) fn written(
        this: &Host,
        token: u32,
        stream: u32,
        log_segment: i64,
        entry: i64,
        slot: i64,
        attempts: u32,
    );

    /// The record of this token was not, or nobody knows. `code` is that of the cause, if it is a
    /// status.
    #[wasm_bindgen(method)]
    pub(crate) fn failed(
        this: &Host,
        token: u32,
        reason: &str,
        known: &str,
        cause: Option<String>,
        code: i32,
        attempts: u32,
    );

    /// The flush or close of this token is over.
    #[wasm_bindgen(method)]
    pub(crate) fn done(this: &Host, token: u32);

    /// The room that was waited for is held: write the record at once.
    #[wasm_bindgen(method)]
    pub(crate) fn room(this: &Host);

    /// Seconds since the page or process began, in milliseconds with a fraction; never goes back.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub(crate) fn performance_now() -> f64;

    #[wasm_bindgen(js_name = clearTimeout)]
    pub(crate) fn clear_timeout(timer: &JsValue);

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    pub(crate) fn fill_with_random(bytes: &mut [u8]);
}

#[wasm_bindgen(module = "/src/timer.js")]
extern "C" {
    #[wasm_bindgen(js_name = arm)]
    pub(crate) fn set_timeout(then: &Closure<dyn FnMut()>, milliseconds: f64) -> JsValue;
}
