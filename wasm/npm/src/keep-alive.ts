import { clearInterval, setInterval } from "./timers.js";

/**
 * Keeps a process of Node, Bun or Deno alive while `needed` is true. Does nothing in a page, which
 * needs no such thing.
 */
export class KeepAlive {
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #needed = false;

  constructor() {
    // 2^30 ms, twelve days, is close to the longest interval: the timer is there to be referenced,
    // not to fire.
    const timer = setInterval(() => {}, 2 ** 30);
    if (typeof timer === "object" && typeof timer.unref === "function") this.#timer = timer.unref();
    else clearInterval(timer);
  }

  set needed(needed: boolean) {
    if (needed === this.#needed) return;
    this.#needed = needed;
    if (needed) this.#timer?.ref();
    else this.#timer?.unref();
  }

  end(): void {
    clearInterval(this.#timer);
  }
}
