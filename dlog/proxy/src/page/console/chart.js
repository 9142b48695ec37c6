// Lines over the last ten minutes.
import { h, svg } from "./dom.js";

const WIDTH = 600;

/**
 * Draws lines over the same time, each `{name, values, kind}`; a value may be `null`. The largest value is written beside the chart.
 * @param {(value: number) => string} format
 */
export function chart(title, lines, format, { height = 96, seconds = 600, slots = 60 } = {}) {
  const most = Math.max(...lines.flatMap(({ values }) => values.filter((value) => value !== null)), 0);
  const figures = lines.map(({ name, values, kind }) =>
    h("span", { class: `key ${kind}` }, `${name} `, h("b", {}, format(values.findLast((value) => value !== null) ?? null))),
  );
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const part of [0.5, 1]) {
    const y = height - part * (height - 4);
    drawing.append(svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y, y2: y }));
  }
  for (const { values, kind } of lines) {
    for (const path of paths(values, most, height, slots)) drawing.append(svg("path", { class: `line ${kind}`, d: path }));
  }
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("span", { class: "chart-title" }, title), ...figures),
    h("div", { class: "plot" }, drawing, h("span", { class: "most" }, most > 0 ? format(most) : "")),
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, `${seconds / 60} min ago`), h("span", {}, "now")),
  );
}

/** Returns the paths of the parts of a line between its gaps. */
function paths(values, most, height, slots) {
  const found = [];
  let path = [];
  const end = () => {
    if (path.length > 0) found.push(`M${path.join("L")}${path.length === 1 ? "h2" : ""}`);
    path = [];
  };
  values.forEach((value, index) => {
    if (value === null) return end();
    const x = ((slots - values.length + index + 1) / slots) * WIDTH;
    const y = height - (most > 0 ? value / most : 0) * (height - 4) - 1;
    path.push(`${x.toFixed(1)} ${y.toFixed(1)}`);
  });
  end();
  return found;
}
