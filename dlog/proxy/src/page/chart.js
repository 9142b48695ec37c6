// Latencies of the last minute: time to the right, milliseconds upwards on a logarithmic scale.
import { SECONDS } from "./samples.js";

const LEAST = 1;
const MOST = 4000;
const TICKS = [1, 10, 100, 1000];
const MARGIN = { left: 58, right: 14, top: 12, bottom: 26 };

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{ name: string, dashed: boolean, values: (number | undefined)[] }[]} lines one value a second, the newest last
 * @param {boolean[]} stalled one value a second, the newest last: true if a stream was stalled
 */
export function draw(canvas, lines, stalled) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(`--${name}`);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const x = (secondsAgo) => MARGIN.left + inner.width * (1 - secondsAgo / (SECONDS - 1));
  const y = (ms) => {
    const part = Math.log(Math.min(Math.max(ms, LEAST), MOST) / LEAST) / Math.log(MOST / LEAST);
    return MARGIN.top + inner.height * (1 - part);
  };
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `13px ${style.fontFamily}`;
  pen.textBaseline = "middle";

  shade(pen, stalled, x, inner.height, colour);
  pen.lineWidth = 1;
  for (const tick of TICKS) {
    pen.strokeStyle = colour("line");
    pen.beginPath();
    pen.moveTo(MARGIN.left, Math.round(y(tick)) + 0.5);
    pen.lineTo(width - MARGIN.right, Math.round(y(tick)) + 0.5);
    pen.stroke();
    pen.fillStyle = colour("soft");
    pen.textAlign = "right";
    pen.fillText(tick < 1000 ? `${tick} ms` : `${tick / 1000} s`, MARGIN.left - 10, y(tick));
  }
  const ends = [[SECONDS - 1, "one minute ago", "left"], [0, "now", "right"]];
  for (const [secondsAgo, text, align] of inner.width < 400 ? ends : [...ends, [30, "30 s ago", "center"]]) {
    pen.textAlign = align;
    pen.fillText(text, x(secondsAgo), height - 9);
  }
  for (const line of lines) trace(pen, line, x, y, colour(line.name));
}

/** Shades the seconds in which streams were stalled. */
function shade(pen, stalled, x, height, colour) {
  let labelled = false;
  stalled.forEach((on, index) => {
    if (!on) {
      labelled = false;
      return;
    }
    const ago = stalled.length - 1 - index;
    const from = x(Math.min(ago + 0.5, SECONDS - 1));
    pen.fillStyle = colour("stall");
    pen.fillRect(from, MARGIN.top, x(Math.max(ago - 0.5, 0)) - from, height);
    if (!labelled && ago > 5) {
      pen.fillStyle = colour("plain");
      pen.textAlign = "left";
      pen.fillText("stalled", from + 6, MARGIN.top + 10);
    }
    labelled = true;
  });
}

function trace(pen, { dashed, values }, x, y, colour) {
  pen.strokeStyle = colour;
  pen.fillStyle = colour;
  pen.lineWidth = 2.25;
  pen.lineJoin = "round";
  pen.setLineDash(dashed ? [6, 4] : []);
  pen.beginPath();
  let drawing = false;
  let last;
  values.forEach((value, index) => {
    const at = x(values.length - 1 - index);
    if (value === undefined) {
      drawing = false;
      return;
    }
    if (drawing) pen.lineTo(at, y(value));
    else pen.moveTo(at, y(value));
    drawing = true;
    last = [at, y(value)];
  });
  pen.stroke();
  pen.setLineDash([]);
  if (last && drawing) {
    pen.beginPath();
    pen.arc(last[0], last[1], 3.5, 0, 2 * Math.PI);
    pen.fill();
  }
}
