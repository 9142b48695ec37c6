/** Keeps a process of Node, Bun or Deno alive while there is something to wait for. Pages live without. */
export class Alive {
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #needed = false;

  constructor() {
    // As rare as a timer can be: it is there to be counted.
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
