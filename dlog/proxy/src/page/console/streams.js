// The table of streams: a page of the proxy's list at a time, however many there are.
import { get } from "./api.js";
import { createStream } from "./dialogs.js";
import { NONE, ago, bytes, count, empty, h, perSecond, printable, retention, sentence, setText, stamp } from "./dom.js";
import { poll } from "./poll.js";

const REFRESH_MS = 5000;
const PAGE = 100;
const SEARCH_MS = 200;

/** Title, how it is sorted, the order that comes first, class, text, and what is shown on pointing at it. */
const COLUMNS = [
  { title: "Stream", sort: "name", first: "asc", kind: "name" },
  { title: "Size", sort: "bytes", first: "desc", kind: "number", text: (row) => bytes(row.bytes) },
  { title: "Records", kind: "number wide-only", text: (row) => count(row.records) },
  { title: "Records/s", kind: "number wide-only", text: (row) => perSecond(row.write_rate?.records_per_s) },
  { title: "Bytes/s", sort: "rate", first: "desc", kind: "number wide-only", text: (row) => (row.write_rate ? bytes(row.write_rate.bytes_per_s) : NONE) },
  { title: "Last write", sort: "last_write", first: "desc", kind: "number", text: (row) => ago(row.last_ms), hint: (row) => stamp(row.last_ms) },
  { title: "Segments", kind: "number wide-only", text: (row) => count(row.segments) },
  { title: "Retention", kind: "wide-only", text: (row) => retention(row.retention) },
  { title: "Owner", kind: "wide-only", text: (row) => (row.owner ? printable(row.owner.address) : NONE) },
];

export class StreamsView {
  constructor(main, context, query) {
    this.context = context;
    this.rows = [];
    this.search = h("input", { type: "search", id: "search", placeholder: "Part of a name", autocomplete: "off", spellcheck: "false", maxlength: 512 });
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.go({ search: this.search.value, after: "" }), SEARCH_MS);
    });
    this.body = h("tbody");
    this.heads = COLUMNS.map((column) => this.head(column));
    this.frame = h(
      "div",
      { class: "frame", role: "region", "aria-label": "Streams", tabindex: "0" },
      h("table", { class: "streams" }, h("caption", { class: "unseen" }, "Streams"), h("thead", {}, h("tr", {}, this.heads)), this.body),
    );
    this.place = h("p", { class: "place", role: "status" });
    this.none = h("div");
    this.previous = h("button", { type: "button", disabled: true, onclick: () => history.back() }, "Previous");
    this.next = h("button", { type: "button", disabled: true, onclick: () => this.turn() }, "Next");
    main.replaceChildren(
      h(
        "div",
        { class: "head" },
        h("h1", {}, "Streams"),
        h("label", { for: "search", class: "unseen" }, "Search"),
        this.search,
        context.may("create") && h("button", { type: "button", onclick: () => this.create() }, "New stream"),
      ),
      this.frame,
      this.none,
      h("div", { class: "foot" }, this.place, this.previous, this.next),
    );
    this.read(query);
    this.polling = poll(() => this.load(), REFRESH_MS);
  }

  head(column) {
    if (!column.sort) return h("th", { scope: "col", class: column.kind }, column.title);
    const button = h("button", { type: "button", class: "sort", onclick: () => this.sortBy(column) }, column.title);
    return h("th", { scope: "col", class: column.kind, "data-sort": column.sort }, button);
  }

  read(query) {
    this.query = { search: query.get("search") ?? "", sort: query.get("sort") ?? "name", order: query.get("order") ?? "asc", after: query.get("after") ?? "", from: Number(query.get("from") ?? 0) || 0 };
    if (document.activeElement !== this.search) this.search.value = this.query.search;
    for (const head of this.heads) {
      if (head.dataset.sort === this.query.sort) head.setAttribute("aria-sort", this.query.order === "desc" ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  /** Shows another page, or order, or search. */
  move(query) {
    this.read(query);
    this.following = undefined;
    this.load(true).catch(() => {});
  }

  go(changes) {
    const query = { ...this.query, from: 0, ...changes };
    const kept = Object.entries(query).filter(([name, value]) => value && !(name === "sort" && value === "name") && !(name === "order" && value === "asc"));
    const hash = `#/streams${kept.length > 0 ? `?${new URLSearchParams(kept)}` : ""}`;
    // Each letter of a search would be a step back otherwise.
    if ("search" in changes) {
      history.replaceState(null, "", hash);
      this.move(new URLSearchParams(kept));
    } else location.hash = hash;
  }

  sortBy({ sort, first }) {
    const order = this.query.sort === sort ? (this.query.order === "asc" ? "desc" : "asc") : first;
    this.go({ sort, order, after: "" });
  }

  turn() {
    // The page that follows is known once this one is there.
    if (!this.following) return;
    this.go({ after: this.following, from: this.query.from + this.rows.length });
    this.frame.scrollTop = 0;
    scrollTo(0, 0);
  }

  async create() {
    const name = await createStream();
    if (!name) return;
    this.context.say(`The stream ${printable(name)} exists now.`);
    await this.load(true).catch(() => {});
  }

  refresh() {
    this.polling.now();
  }

  /** Loads the page again; a newer request takes precedence. */
  async load(moved = false) {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    const { search, sort, order, after } = this.query;
    const query = new URLSearchParams({ details: true, limit: PAGE, sort, order, ...(search && { search }), ...(after && { after }) });
    let listed;
    try {
      listed = await get(`/v1/streams?${query}`, loading.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      // The stream that this page begins behind is gone.
      if (error.status === 400 && after) return this.go({ after: "" });
      if (error.status) this.show([], empty("The streams cannot be listed", h("p", {}, sentence(error.message))), "");
      else if (this.rows.length === 0) this.show([], empty("The proxy does not answer"), "");
      throw error;
    }
    if (loading.signal.aborted) return;
    this.following = listed.next;
    this.show(listed.streams, this.explanation(listed), this.placeOf(listed));
    this.next.disabled = !listed.next;
    this.previous.disabled = !after;
    if (moved) this.frame.scrollLeft = 0;
  }

  explanation(listed) {
    if (listed.streams.length > 0) return undefined;
    if (this.query.search) return empty("No stream has this in its name", h("p", {}, h("button", { type: "button", onclick: () => this.clear() }, "Show all streams")));
    const how = this.context.may("create") ? "Create one here, or write a record to it: a proxy creates missing streams unless it runs with --no-create." : "A proxy creates a stream with the first record that is written to it, unless it runs with --no-create.";
    return empty("No streams yet", h("p", {}, how));
  }

  clear() {
    this.search.value = "";
    this.go({ search: "", after: "" });
    this.search.focus();
  }

  placeOf({ streams, total }) {
    if (streams.length === 0) return "";
    const { from } = this.query;
    const all = total === null ? "many" : count(total);
    return `${count(from + 1)}–${count(from + streams.length)} of ${all}`;
  }

  /** Writes the rows into the table's: a row keeps its place, and with it the focus. */
  show(rows, explanation, place) {
    while (this.body.children.length > rows.length) this.body.lastChild.remove();
    rows.forEach((row, index) => {
      let line = this.body.children[index];
      if (!line) {
        line = h("tr", {}, COLUMNS.map(({ kind }, at) => h(at === 0 ? "th" : "td", { class: kind, scope: at === 0 ? "row" : null }, at === 0 ? h("a", {}) : "")));
        this.body.append(line);
      }
      const link = line.firstChild.firstChild;
      setText(link, printable(row.stream));
      link.href = `#/stream/${encodeURIComponent(row.stream)}`;
      COLUMNS.slice(1).forEach(({ text, hint }, at) => {
        const cell = line.children[at + 1];
        setText(cell, text(row));
        if (hint) cell.title = hint(row);
      });
    });
    this.rows = rows;
    this.frame.hidden = rows.length === 0;
    this.none.replaceChildren(...(explanation ? [explanation] : []));
    setText(this.place, place);
    this.frame.closest("main").setAttribute("data-loaded", "");
  }

  close() {
    clearTimeout(this.typing);
    this.polling.stop();
    this.loading?.abort();
  }
}
