// Figures, sizes, times and cells, as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const NONE = "–";

export function count(value) {
  return typeof value === "number" ? whole.format(value) : NONE;
}

/** Four digits that count; very large and very small ones with an exponent. */
export function figure(value) {
  if (value === null || value === undefined) return NONE;
  if (typeof value !== "number") return String(value);
  if (value === 0) return "0"; // -0 too
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return whole.format(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) return value.toExponential(3);
  return new Intl.NumberFormat("en", { maximumSignificantDigits: Math.max(4, String(Math.trunc(size)).length) }).format(value);
}

/** So many digits after the point; what rounds to nothing has no sign. */
export function fixed(value, digits) {
  if (typeof value !== "number") return NONE;
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

export function bytes(value) {
  if (typeof value !== "number") return NONE;
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let place = 0;
  let size = value;
  while (size >= 1000 && place < units.length - 1) {
    size /= 1000;
    place += 1;
  }
  return `${place === 0 ? size : size.toFixed(size < 10 ? 1 : 0)} ${units[place]}`;
}

export function amount(value, unit) {
  return unit === "bytes" ? bytes(value) : `${count(value)} ${unit}`;
}

export function percent(part, total) {
  if (!total) return "0 %";
  const share = (100 * part) / total;
  return `${share > 0 && share < 0.1 ? "< 0.1" : share.toFixed(share < 10 && share > 0 ? 1 : 0)} %`;
}

export function duration(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return NONE;
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${count(Math.floor(hours / 24))} d ${hours % 24} h`;
}

export function between(from, to) {
  return from && to ? duration((Date.parse(to) - Date.parse(from)) / 1000) : NONE;
}

/** The time of day; of another day with its date, of another year with that too. */
export function moment(text) {
  if (!text) return NONE;
  const [at, now] = [new Date(text), new Date()];
  if (at.toDateString() === now.toDateString()) return clock.format(at);
  return `${(at.getFullYear() === now.getFullYear() ? day : date).format(at)}, ${clock.format(at)}`;
}

export function moments(text) {
  return text ? full.format(new Date(text)) : "";
}

/** A cell of a table. Null is told apart from an empty text. */
export function cell(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "object") return JSON.stringify(value);
  return String(value);
}

/** A type as it is called, without how exactly it is stored. */
export function typeName(type) {
  return type.replace(/\(.*\)$/s, "");
}

/** An ISO 8601 duration of days and less, as people say it: `PT6H40M` is 6 h 40 min. */
export function span(iso) {
  const found = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?$/.exec(iso);
  const parts = found ? [[found[1], "d"], [found[2], "h"], [found[3], "min"], [found[4] && String(Number(found[4])), "s"]] : [];
  return parts.filter(([value]) => value).map(([value, unit]) => `${value} ${unit}`).join(" ") || iso;
}

/** A moment of the data without the zeros that its unit adds. */
export function stamp(text) {
  return String(text).replace(/(:\d\d)\.0+$/, "$1");
}

export function short(id) {
  return id.slice(-8);
}

/** A sign that can't be seen, as it is called. */
export function sign(text) {
  const names = { "\t": "tab", " ": "space", "": "none", ",": "comma ,", ";": "semicolon ;", "|": "pipe |" };
  return text === null || text === undefined ? NONE : (names[text] ?? text);
}
