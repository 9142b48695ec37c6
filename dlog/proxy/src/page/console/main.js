// The console: views by the address's fragment, the token, what this client may do, and whether the proxy answers.
import { Away, Problem, access, events, get, token } from "./api.js";
import { h, printable, sentence, setText } from "./dom.js";
import { errors, health, latency } from "./overview.js";
import { poll } from "./poll.js";
import { StreamView } from "./stream.js";
import { StreamsView } from "./streams.js";

const $ = (id) => document.getElementById(id);
const OVERVIEW_MS = 5000;

const VIEWS = [
  ["streams", "Streams"],
  ["latency", "Latency"],
  ["health", "Health"],
  ["errors", "Errors"],
];

/** What the views share. */
const context = {
  overview: undefined,
  rights: { read: true },
  /**
   * Returns true if the proxy allows this client an action, `write`, `create` or `admin`, with some stream or with this one. The proxy
   * checks each request again.
   */
  may(action, stream) {
    const patterns = context.access?.streams ?? [];
    if (stream === undefined || patterns.length === 0) return context.rights[action] === true;
    return patterns.some(({ pattern, may }) => may[action] === true && matches(pattern, stream));
  },
  say(text) {
    const said = $("said");
    said.hidden = text === "";
    setText(said, text);
    clearTimeout(context.saying);
    context.saying = setTimeout(() => (said.hidden = true), 8000);
  },
};

/** Returns true if a name matches a pattern, in which `*` stands for any text. */
function matches(pattern, name) {
  const parts = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*")}$`).test(name);
}

/** A view that shows the overview. */
class OverviewView {
  constructor(main, make) {
    this.main = main;
    this.make = make;
    this.refresh();
  }

  refresh() {
    if (!context.overview) return;
    // Those who read it with a keyboard, and tables that are scrolled, stay where they are.
    const focused = this.main.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    const scrolled = [...this.main.querySelectorAll(".frame")].map((frame) => [frame.getAttribute("aria-label"), frame.scrollLeft]);
    this.main.replaceChildren(...this.make(context.overview));
    const frame = (label) => [...this.main.querySelectorAll(".frame")].find((it) => it.getAttribute("aria-label") === label);
    for (const [label, left] of scrolled) if (left > 0 && frame(label)) frame(label).scrollLeft = left;
    if (focused) frame(focused)?.focus({ preventScroll: true });
  }

  close() {}
}

let view;
let opened;

function parse() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  let stream;
  try {
    stream = decodeURIComponent(rest.join("/"));
  } catch {
    stream = "";
  }
  return { name: name || "streams", stream, query: new URLSearchParams(query ?? "") };
}

function open() {
  const place = parse();
  const same = `${place.name}/${place.stream}`;
  if (view && opened === same && view.move) return view.move(place.query);
  const moved = opened !== undefined && opened !== same;
  view?.close();
  opened = same;
  const main = $("main");
  main.replaceChildren(h("p", { class: "empty" }, "Loading…"));
  const of = { latency, health, errors }[place.name];
  if (of) view = new OverviewView(main, of);
  else if (place.name === "stream") view = new StreamView(main, context, place.stream, place.query);
  else view = new StreamsView(main, context, place.query);
  navigate(place.name);
  if (moved) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

function navigate(name) {
  const current = name === "stream" ? "streams" : name;
  const title = VIEWS.find(([it]) => it === current)?.[1] ?? "Streams";
  document.title = name === "stream" ? `${printable(parse().stream)} · DistributedLog` : `${title} · DistributedLog`;
  for (const link of $("nav").children) {
    if (link.dataset.view === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function showMarks() {
  const { overview } = context;
  const marks = { health: overview.ready ? "" : "!", errors: overview.errors.length > 0 ? `${overview.errors.length}` : "" };
  for (const link of $("nav").children) {
    const mark = link.querySelector(".mark");
    setText(mark, marks[link.dataset.view] ?? "");
    mark.hidden = mark.textContent === "";
  }
}

function showWho() {
  const { principal, how } = context.access;
  const parts = [principal ? printable(principal) : undefined, context.overview && printable(context.overview.proxy.address)].filter(Boolean);
  $("who").replaceChildren(
    ...(["write", "create", "admin"].some((action) => context.may(action)) ? [] : [h("span", { class: "pill", title: `Access: ${how}` }, "read only")]),
    h("span", {}, parts.join(" · ")),
    ...(token.get() ? [h("button", { type: "button", class: "quiet", onclick: forget }, "Forget token")] : []),
  );
}

function forget() {
  token.set("");
  location.reload();
}

/** Asks for the token in place of the view. */
function askForToken(problem) {
  if ($("token")) {
    if (token.get()) setText($("token-wrong"), sentence(problem.message));
    return;
  }
  view?.close();
  view = undefined;
  opened = undefined;
  polling?.stop();
  const input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true, "aria-describedby": "token-wrong" });
  const form = h(
    "form",
    {
      class: "card narrow",
      onsubmit: (event) => {
        event.preventDefault();
        token.set(input.value.trim());
        start();
      },
    },
    h("h1", {}, "Token"),
    h("p", { class: "note" }, "This proxy answers clients that send a token. It is kept in this tab until it is closed."),
    h("label", { for: "token" }, "Token"),
    input,
    h("p", { id: "token-wrong", class: "wrong", role: "alert" }, token.get() ? sentence(problem.message) : ""),
    h("button", { type: "submit", class: "primary" }, "Use token"),
  );
  $("main").replaceChildren(form);
  input.focus();
}

let polling;

async function start() {
  try {
    context.access = await access();
    context.rights = context.access.may ?? { read: true };
    context.overview = await get("/v1/overview");
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return;
    if (!$("token")) $("main").replaceChildren(failed(error));
    setTimeout(start, 3000);
    return;
  }
  showMarks();
  showWho();
  open();
  polling = poll(async () => {
    context.overview = await get("/v1/overview");
    showMarks();
    showWho();
    if (view instanceof OverviewView) view.refresh();
  }, OVERVIEW_MS);
}

/** Returns what stands for a view that could not be loaded. */
function failed(error) {
  const title = error instanceof Away ? "The proxy does not answer" : "The proxy refuses the request";
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), h("p", {}, error instanceof Away ? "The console goes on by itself when it answers again." : sentence(error.message)));
}

events.token = askForToken;
let away = false;
events.answers = (answers) => {
  if (away === !answers) return;
  away = !answers;
  document.body.classList.toggle("is-away", away);
  $("away").hidden = !away;
  $("away").replaceChildren(
    h("span", {}, "The proxy does not answer. What is shown is what it said last; the console goes on by itself when it answers again."),
    h("button", { type: "button", onclick: () => polling?.now() }, "Try now"),
  );
  if (answers) view?.refresh?.();
};

$("nav").append(...VIEWS.map(([name, title]) => h("a", { href: `#/${name}`, "data-view": name }, title, h("span", { class: "mark", hidden: true }))));
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("main").focus();
});
addEventListener("hashchange", () => context.overview && !$("token") && open());
start();
