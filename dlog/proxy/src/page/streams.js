// The table of streams: acknowledged records of each writer, health as the hedging writer sees it, and a button that stalls the stream.

const number = new Intl.NumberFormat("en");

export class Streams {
  /** @param {HTMLElement} body parent of the rows @param {(stream: string, on: boolean) => void} onToggle */
  constructor(body, names, onToggle) {
    this.names = names;
    this.rows = new Map(names.map((name) => [name, rowOf(name, onToggle)]));
    body.replaceChildren(...this.rows.values());
  }

  /** Shows the buttons if the proxy allows injected faults. */
  allowStalls(allowed) {
    for (const row of this.rows.values()) row.querySelector("button").hidden = !allowed;
  }

  /** Updates the rows. `stalled` has the stalled streams, and is `undefined` while the proxy does not answer. */
  show(sides, stalled) {
    const rates = this.names.map((name) => sides.map(({ samples }) => samples.rate(name)));
    const most = Math.max(1, ...rates.flat());
    this.names.forEach((name, index) => {
      const row = this.rows.get(name);
      const on = stalled?.has(name) ?? false;
      row.dataset.stalled = `${on}`;
      sides.forEach((side, which) => {
        const meter = row.querySelector(`.meter.${side.name}`);
        meter.firstChild.textContent = number.format(Math.round(rates[index][which]));
        meter.lastChild.style.width = `${(100 * rates[index][which]) / most}%`;
      });
      row.querySelector(".word").textContent = stalled === undefined ? "no answer" : wordOf(on, sides[0].isHealthy(name));
      const button = row.querySelector("button");
      const verb = on ? "Release" : "Stall";
      if (button.textContent !== verb) {
        button.textContent = verb;
        button.setAttribute("aria-label", `${verb} ${name}`);
      }
    });
  }
}

function wordOf(stalled, healthy) {
  if (stalled) return healthy ? "stalled" : "stalled, avoided";
  return healthy ? "healthy" : "retrying";
}

function rowOf(name, onToggle) {
  const row = document.createElement("tr");
  row.id = name;
  const title = Object.assign(document.createElement("th"), { scope: "row", textContent: name });
  const cells = ["hedged", "plain"].map((side) => {
    const meter = Object.assign(document.createElement("div"), { className: `meter ${side}` });
    meter.append(Object.assign(document.createElement("b"), { textContent: "–" }), document.createElement("i"));
    const cell = document.createElement("td");
    cell.append(meter);
    return cell;
  });
  const word = Object.assign(document.createElement("td"), { className: "word", textContent: "–" });
  const button = Object.assign(document.createElement("button"), { type: "button", className: "stall", textContent: "Stall", hidden: true });
  button.setAttribute("aria-label", `Stall ${name}`);
  button.addEventListener("click", () => onToggle(name, row.dataset.stalled !== "true"));
  const last = document.createElement("td");
  last.append(button);
  row.append(title, ...cells, word, last);
  return row;
}
