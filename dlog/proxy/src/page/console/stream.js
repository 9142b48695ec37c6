// One stream: its records, log segments and retention, and what may be done with it.
import { get, lines, pathOf } from "./api.js";
import { deleteStream, truncateStream, writeRecord } from "./dialogs.js";
import { NONE, ago, bytes, count, download, empty, h, perSecond, printable, retention, sentence, setText, stamp } from "./dom.js";
import { poll } from "./poll.js";
import { Record, RecordTable } from "./records.js";

const REFRESH_MS = 5000;
/** Records of a page, and of a live tail. */
const PAGE = 200;
const TAIL = 500;
/** Records that a search looks at before it asks whether to go on. */
const SCANNED = 200_000;
/** Time between two updates of a live tail. */
const SHOW_MS = 150;

export class StreamView {
  constructor(main, context, stream, query) {
    Object.assign(this, { main, context, stream });
    this.facts = h("dl", { class: "facts" });
    this.segments = h("tbody");
    this.segmentCount = h("span");
    this.status = h("p", { class: "place", role: "status" });
    this.none = h("div");
    this.table = new RecordTable((record) => this.actionsOf(record));
    this.more = h("button", { type: "button", hidden: true, onclick: () => this.read(this.place) }, "Next records");
    this.halt = h("button", { type: "button", hidden: true, onclick: () => this.stop() }, "Stop");
    const may = (action) => context.may(action, stream);
    main.replaceChildren(
      h("p", { class: "crumb" }, h("a", { href: "#/streams" }, "Streams")),
      h(
        "div",
        { class: "head" },
        h("h1", { class: "stream-name" }, printable(stream)),
        may("write") && h("button", { type: "button", onclick: () => this.write() }, "Write a record"),
        may("admin") && h("button", { type: "button", onclick: () => this.truncate() }, "Truncate…"),
        may("admin") && h("button", { type: "button", class: "danger", onclick: () => this.delete() }, "Delete…"),
      ),
      this.facts,
      this.controls(query),
      this.table.element,
      this.none,
      h("div", { class: "foot" }, this.status, h("button", { type: "button", onclick: () => this.save() }, "Save shown"), this.halt, this.more),
      h(
        "details",
        { class: "segments" },
        h("summary", {}, "Log segments ", this.segmentCount),
        h(
          "div",
          { class: "frame", role: "region", "aria-label": "Log segments", tabindex: "0" },
          h(
            "table",
            {},
            h("caption", { class: "unseen" }, "Log segments"),
            h("thead", {}, h("tr", {}, ["Segment", "State", "Entries", "Records", "Bytes", "First written (UTC)", "Last written (UTC)"].map((title, at) => h("th", { scope: "col", class: at === 1 ? "" : "number" }, title)))),
            this.segments,
          ),
        ),
      ),
    );
    this.polling = poll(() => this.describe(), REFRESH_MS);
  }

  controls(query) {
    const option = ([value, title]) => h("option", { value }, title);
    const starts = [["newest", "Newest"], ["start", "Start"], ["at", "Position or time"], ["live", "Live tail"]];
    this.start = h("select", { id: "start", onchange: () => this.choose() }, starts.map(option));
    this.at = h("input", { id: "at", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "1,0,5 or 2026-11-28T10:00:00Z" });
    this.atField = h("div", { class: "field", hidden: true }, h("label", { for: "at" }, "Position or time (UTC)"), this.at);
    this.form = h("select", { id: "form", onchange: () => this.table.setForm(this.form.value) }, [["text", "Text"], ["json", "JSON"], ["hex", "Hex"]].map(option));
    this.filter = h("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "Text or hex" });
    const from = query.get("from");
    if (from) {
      this.start.value = starts.some(([value]) => value === from) ? from : "at";
      if (this.start.value === "at") this.at.value = from;
    }
    this.atField.hidden = this.start.value !== "at";
    const submit = (event) => {
      event.preventDefault();
      this.begin();
    };
    const field = (id, title, input) => h("div", { class: "field" }, h("label", { for: id }, title), input);
    return h(
      "form",
      { class: "controls", onsubmit: submit },
      field("start", "From", this.start),
      this.atField,
      field("filter", "Filter", this.filter),
      field("form", "Shown as", this.form),
      h("button", { type: "submit", class: "primary" }, "Read"),
    );
  }

  choose() {
    this.atField.hidden = this.start.value !== "at";
    if (this.start.value === "at") this.at.focus();
    else this.begin();
  }

  /** Asks for the stream's description, and reads its records once it is there. */
  async describe() {
    let info;
    try {
      info = await get(pathOf(this.stream));
    } catch (error) {
      if (error.status && !this.info) this.fail(error);
      else if (error.status === 404) setText(this.status, "The stream was deleted.");
      throw error;
    }
    const first = !this.info;
    this.info = info;
    this.showSegments();
    const row = await get(`/v1/streams?${new URLSearchParams({ details: true, prefix: this.stream, limit: 1 })}`).catch(() => undefined);
    this.showFacts(row?.streams.find(({ stream }) => stream === this.stream));
    if (first) this.begin();
  }

  fail(error) {
    const title = error.status === 404 ? "There is no such stream" : "The stream cannot be shown";
    this.polling?.stop();
    this.main.replaceChildren(h("p", { class: "crumb" }, h("a", { href: "#/streams" }, "Streams")), h("h1", { class: "stream-name" }, printable(this.stream)), empty(title, h("p", {}, sentence(error.message))));
  }

  showFacts(row) {
    const { segments, first, last, owner, created_ms: created, truncated_before: truncated } = this.info;
    const sum = (name) => segments.reduce((sum, segment) => sum + segment[name], 0);
    const lastMs = segments.at(-1)?.last_ms;
    const facts = [
      ["size", bytes(sum("payload_bytes"))],
      ["records", count(sum("records"))],
      ["records/s", perSecond(row?.write_rate?.records_per_s)],
      ["last write", ago(lastMs), stamp(lastMs)],
      ["first", first ?? NONE],
      ["last", last ?? NONE],
      ["truncated before", truncated ?? NONE],
      ["retention", retention(row?.retention)],
      ["owner", owner ? printable(owner.address) : "none"],
      ["created", ago(created), stamp(created)],
    ];
    this.facts.replaceChildren(...facts.map(([title, value, hint]) => h("div", {}, h("dt", {}, title), h("dd", { title: hint }, value))));
  }

  showSegments() {
    const { segments } = this.info;
    setText(this.segmentCount, `(${count(segments.length)})`);
    // The newest are those that change; a stream may have thousands.
    const shown = segments.slice(-500).toReversed();
    this.segments.replaceChildren(
      ...shown.map((it) =>
        h(
          "tr",
          {},
          h("th", { scope: "row", class: "number" }, `${it.log_segment}`),
          h("td", {}, it.completed ? "complete" : "open"),
          ...[count(it.entries), count(it.records), bytes(it.payload_bytes), stamp(it.first_ms), stamp(it.last_ms)].map((value) => h("td", { class: "number nowrap" }, value)),
        ),
      ),
    );
  }

  /** Reads from the place that is chosen. */
  begin() {
    const from = { newest: () => this.newest(), start: () => "start", live: () => "end", at: () => this.at.value.trim() || "start" }[this.start.value]();
    const kept = this.start.value === "at" ? this.at.value.trim() : this.start.value;
    history.replaceState(null, "", `#/stream/${encodeURIComponent(this.stream)}${kept === "newest" ? "" : `?${new URLSearchParams({ from: kept })}`}`);
    this.table.clear();
    if (this.start.value === "live") this.tail(from);
    else this.read({ from });
  }

  /** Returns a position near the end: records are read forwards only. */
  newest() {
    const [segment, entry] = (this.info.last ?? "").split(",").map(Number);
    if (Number.isNaN(segment) || entry === undefined) return "start";
    return this.filter.value === "" ? `${segment},${Math.max(0, entry - PAGE + 1)},0` : "start";
  }

  stop() {
    this.reading?.abort();
    this.reading = undefined;
    this.halt.hidden = true;
  }

  /** Reads a page of the records that match the filter, from a place `{from}` or `{after}`. */
  async read(place) {
    this.stop();
    const reading = (this.reading = new AbortController());
    const part = this.filter.value.trim().toLowerCase();
    const isNewest = this.start.value === "newest" && part === "";
    const query = new URLSearchParams({ ...place, follow: false });
    if (part === "" && !isNewest) query.set("limit", PAGE);
    this.more.hidden = true;
    this.none.replaceChildren();
    this.halt.hidden = part === "";
    setText(this.status, "Reading…");
    let [scanned, found, end] = [0, [], "caught_up"];
    this.place = place;
    try {
      batches: for await (const batch of lines(`${pathOf(this.stream, "/records")}?${query}`, reading.signal)) {
        for (const line of batch) {
          if (line.event === "end") {
            end = line.reason === "caught_up" || line.reason === "limit" ? line.reason : `ended: ${line.reason} ${line.detail ?? ""}`;
            this.place = { from: line.next };
          }
          if (line.event !== "record" && line.event !== "malformed") continue;
          scanned++;
          const record = new Record(line);
          if (record.matches(part)) found.push(record);
          this.place = { after: line.after };
          if (part !== "" && (found.length >= PAGE || scanned >= SCANNED)) {
            end = "more";
            break batches;
          }
        }
        if (isNewest) found = found.slice(-PAGE);
        if (part !== "") setText(this.status, `Reading… ${count(found.length)} of ${count(scanned)} records match`);
      }
    } catch (error) {
      if (error.name === "AbortError" && this.reading === undefined) end = "stopped";
      else if (error.name === "AbortError") return;
      else end = sentence(error.message);
    }
    if (this.reading === reading) this.reading = undefined;
    reading.abort();
    this.halt.hidden = true;
    if (isNewest) this.table.add(found.toReversed());
    else this.table.add(found);
    this.finish(end, scanned, part);
  }

  /** Says what was read, and offers the rest. */
  finish(end, scanned, part) {
    const shown = this.table.records.length;
    const filtered = part === "" ? "" : `, ${count(scanned)} looked at`;
    const hasMore = ["limit", "more", "stopped"].includes(end);
    this.more.hidden = !hasMore;
    const known = { caught_up: "up to the end", limit: "", more: "", stopped: "stopped" };
    const how = end in known ? known[end] : end;
    setText(this.status, [`${count(shown)} ${shown === 1 ? "record" : "records"}${filtered}`, how].filter(Boolean).join(" · "));
    this.table.element.hidden = shown === 0;
    this.none.replaceChildren(...(shown > 0 ? [] : [this.explanation(end, part)]));
  }

  explanation(end, part) {
    if (!["caught_up", "limit", "more", "stopped"].includes(end)) return empty("The records cannot be read", h("p", {}, end));
    if (part !== "") return empty("No record matches the filter");
    if (this.info.last === null) return empty("This stream has no records yet");
    return empty("There are no records from there on");
  }

  /** Shows records as they come, the newest on top. */
  async tail(from) {
    this.stop();
    const reading = (this.reading = new AbortController());
    const { signal } = reading;
    this.more.hidden = true;
    this.halt.hidden = false;
    this.none.replaceChildren();
    this.table.element.hidden = false;
    let [seen, failures, place] = [0, 0, { from }];
    let waiting = [];
    const status = (text) => setText(this.status, `${text} · ${count(seen)} ${seen === 1 ? "record" : "records"}`);
    const timer = setInterval(() => {
      if (waiting.length === 0) return;
      this.table.add(waiting, { onTop: true, most: TAIL });
      waiting = [];
      status("Live");
    }, SHOW_MS);
    status("Live");
    while (!signal.aborted) {
      try {
        const query = new URLSearchParams({ ...place, heartbeat_ms: 5000 });
        for await (const batch of lines(`${pathOf(this.stream, "/records")}?${query}`, signal)) {
          failures = 0;
          for (const line of batch) {
            if (line.event === "heartbeat") place = { from: line.next };
            if (line.event === "end" && ["deleted", "recreated"].includes(line.reason)) {
              reading.abort();
              status(`The stream was ${line.reason}`);
            }
            if (line.event !== "record" && line.event !== "malformed") continue;
            seen++;
            place = { after: line.after };
            const record = new Record(line);
            if (record.matches(this.filter.value.trim().toLowerCase())) waiting.push(record);
          }
          // What nobody will see need not be kept.
          waiting = waiting.slice(-TAIL);
        }
      } catch (error) {
        if (error.status) {
          reading.abort();
          status(sentence(error.message));
        }
      }
      if (signal.aborted) break;
      status("Connecting again");
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000 * 2 ** failures++, 30_000)));
    }
    clearInterval(timer);
    if (this.reading === undefined) status("Stopped");
    this.halt.hidden = true;
  }

  actionsOf(record) {
    const name = `${this.stream}-${record.dlsn}`.replace(/[^\w.-]+/g, "-");
    return [
      h("button", { type: "button", onclick: () => download(name, [record.bytes]) }, "Save"),
      h("button", { type: "button", onclick: () => navigator.clipboard?.writeText(record.shown(this.table.form)).then(() => this.context.say("Copied.")) }, "Copy"),
      this.context.may("admin", this.stream) && h("button", { type: "button", onclick: () => this.truncate(record.dlsn) }, "Truncate before this…"),
    ].filter(Boolean);
  }

  save() {
    const records = this.table.records;
    download(`${this.stream.replace(/[^\w.-]+/g, "-")}.ndjson`, records.map((record) => record.toLine()), "application/x-ndjson");
    this.context.say(`${count(records.length)} ${records.length === 1 ? "record was" : "records were"} saved.`);
  }

  async write() {
    const position = await writeRecord(this.stream);
    if (position === undefined) return;
    this.context.say(`Written at ${position}.`);
    await this.describe().catch(() => {});
    if (this.start.value === "newest") this.begin();
  }

  async truncate(before) {
    if (!(await truncateStream(this.stream, before))) return;
    this.context.say("The records were discarded.");
    await this.describe().catch(() => {});
    if (this.start.value !== "live") this.begin();
  }

  async delete() {
    if (!(await deleteStream(this.stream))) return;
    this.context.say(`The stream ${printable(this.stream)} was deleted.`);
    location.hash = "#/streams";
  }

  refresh() {
    this.polling.now();
  }

  close() {
    this.polling.stop();
    this.stop();
  }
}
