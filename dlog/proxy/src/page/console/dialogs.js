// Dialogs that change something: a new stream, a record, a truncation, a deletion.
import { ask, pathOf } from "./api.js";
import { h, printable, sentence, setText } from "./dom.js";

let serial = 0;

/**
 * Opens a dialog with fields and resolves to what `work` returns, or `undefined` if it was cancelled. While `work` fails, the dialog stays with the
 * reason.
 */
function dialog({ title, verb, danger = false, fields, work, ready = () => true }) {
  return new Promise((resolve) => {
    const id = `dialog-${++serial}`;
    const wrong = h("p", { class: "wrong", role: "alert" });
    const act = h("button", { type: "submit", class: danger ? "danger" : "primary" }, verb);
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id }, title),
      ...fields,
      wrong,
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => box.close() }, "Cancel"), act),
    );
    const box = h("dialog", { "aria-labelledby": id }, form);
    const check = () => (act.disabled = !ready());
    form.addEventListener("input", check);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (act.disabled) return;
      act.disabled = true;
      setText(wrong, "");
      try {
        result = await work();
        box.close();
      } catch (error) {
        setText(wrong, sentence(error.message));
        check();
      }
    });
    let result;
    box.addEventListener("close", () => {
      box.remove();
      resolve(result);
    });
    document.body.append(box);
    box.showModal();
    check();
  });
}

function field(label, input, note) {
  const id = `field-${++serial}`;
  input.id = id;
  return h("div", { class: "field" }, h("label", { for: id }, label), input, note && h("p", { class: "note" }, note));
}

const text = (properties = {}) => h("input", { type: "text", autocomplete: "off", spellcheck: "false", ...properties });

/** Resolves to the name of the stream. */
export function createStream() {
  const name = text({ maxlength: 1024, required: true });
  return dialog({
    title: "New stream",
    verb: "Create",
    fields: [field("Name", name)],
    ready: () => name.value.trim() !== "",
    work: async () => {
      await ask("PUT", pathOf(name.value.trim()));
      return name.value.trim();
    },
  });
}

/** Resolves to the position of the record. */
export function writeRecord(stream) {
  const body = h("textarea", { rows: 6, spellcheck: "false" });
  const form = h("select", {}, h("option", { value: "text" }, "Text"), h("option", { value: "json" }, "JSON, checked"), h("option", { value: "hex" }, "Hex"));
  return dialog({
    title: `Write a record to ${printable(stream)}`,
    verb: "Write",
    fields: [field("Written as", form), field("Record", body)],
    work: async () => {
      const bytes = encode(form.value, body.value);
      const headers = { "content-type": "application/octet-stream" };
      const { dlsn } = await ask("POST", pathOf(stream, "/records"), { body: bytes, headers });
      return dlsn.text;
    },
  });
}

function encode(form, value) {
  if (form === "json") {
    try {
      JSON.parse(value);
    } catch (error) {
      throw new Error(`this is not JSON: ${error.message}`);
    }
  }
  if (form !== "hex") return new TextEncoder().encode(value);
  const digits = value.replace(/\s/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error("hex has two digits for each byte: 0 to 9 and a to f");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Returns the field in which the stream's name is typed to confirm. */
function confirmation(stream) {
  const name = text({ required: true });
  return { name, field: field("Type the stream's name to confirm", name, h("code", {}, printable(stream))), isRight: () => name.value === stream };
}

/** Resolves to `true` if the records were discarded. */
export function truncateStream(stream, before = "") {
  const position = text({ required: true, value: before });
  const confirm = confirmation(stream);
  return dialog({
    title: `Truncate ${printable(stream)}`,
    verb: "Discard the records",
    danger: true,
    fields: [
      h("p", {}, "Discards all records before a position or a time. They cannot be brought back."),
      field("Before", position, "A position such as 1,0,5, or a time such as 2026-11-28T10:00:00Z."),
      confirm.field,
    ],
    ready: () => position.value.trim() !== "" && confirm.isRight(),
    work: async () => {
      await ask("DELETE", `${pathOf(stream, "/records")}?${new URLSearchParams({ before: position.value.trim() })}`);
      return true;
    },
  });
}

/** Resolves to `true` if the stream was deleted. */
export function deleteStream(stream) {
  const confirm = confirmation(stream);
  return dialog({
    title: `Delete ${printable(stream)}`,
    verb: "Delete the stream",
    danger: true,
    fields: [h("p", {}, "Deletes the stream and all of its records. They cannot be brought back."), confirm.field],
    ready: confirm.isRight,
    work: async () => {
      await ask("DELETE", pathOf(stream));
      return true;
    },
  });
}
