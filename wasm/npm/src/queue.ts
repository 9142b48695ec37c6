/**
 * A first-in-first-out queue. `push` and `shift` take amortised constant time; `find` and `remove`
 * are linear.
 */
export class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items[this.#head];
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (this.length === 0) return undefined;
    this.#items[this.#head++] = undefined;
    // Moves the rest once half of the array is empty: each item moves at most once on average.
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  find(wanted: (item: T) => boolean): T | undefined {
    return this.#items.find(
      (item, place) => place >= this.#head && item !== undefined && wanted(item),
    );
  }

  remove(item: T): boolean {
    const place = this.#items.indexOf(item, this.#head);
    if (place < 0) return false;
    this.#items.splice(place, 1);
    return true;
  }
}
