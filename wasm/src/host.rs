//! Functions of JavaScript that the module calls.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The TypeScript half of a writer (`wasm/npm/src/writer.ts`). Its methods must not throw: an
    /// exception would unwind past this side's `RefCell` guards and leave the state borrowed.
    pub type Host;

    /// Sends a record set to a stream. The host reports the end of the attempt exactly once, by
    /// `succeeded`, `refused` or `unanswered` of `WriterHandle`, unless it is aborted first.
    #[wasm_bindgen(method)]
    pub(crate) fn send(
        this: &Host,
        attempt: f64,
        stream: u32,
        record_set: Uint8Array,
        earlier_attempts: u32,
        timeout_ms: f64,
    );

    /// Aborts a request that was sent. The host reports nothing for it.
    #[wasm_bindgen(method)]
    pub(crate) fn abort(this: &Host, attempt: f64);

    /// Resolves the write of this token: its record was written.
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

    /// Rejects the write of this token. `known` says if its record may have been written;
    /// `attempt` is the lower 32 bits of the number of its set's last failed attempt, `None` if no
    /// attempt failed.
    #[wasm_bindgen(method)]
    pub(crate) fn failed(
        this: &Host,
        token: u32,
        reason: &str,
        known: &str,
        attempt: Option<i32>,
        attempts: u32,
    );

    /// Resolves the flush or close of this token.
    #[wasm_bindgen(method)]
    pub(crate) fn done(this: &Host, token: u32);

    /// Reports that the room that `wait_for_room` asked for is reserved; the host must use or
    /// release it at once.
    #[wasm_bindgen(method)]
    pub(crate) fn room(this: &Host);

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    pub(crate) fn fill_with_random(bytes: &mut [u8]);
}

#[wasm_bindgen(module = "/src/timer.js")]
extern "C" {
    /// Returns the milliseconds since the page or process started, with a fraction. Monotonic.
    #[wasm_bindgen(js_name = now)]
    pub(crate) fn performance_now() -> f64;

    /// Calls the closure in a microtask.
    #[wasm_bindgen(js_name = soon)]
    pub(crate) fn queue_microtask(then: &Closure<dyn FnMut()>);

    #[wasm_bindgen(js_name = disarm)]
    pub(crate) fn clear_timeout(timer: &JsValue);

    #[wasm_bindgen(js_name = arm)]
    pub(crate) fn set_timeout(then: &Closure<dyn FnMut()>, milliseconds: f64) -> JsValue;
}
