// Values of a column from all over a table: all of them where there are few, else stretches at even distances.

import { get } from "./api.js";

// So many rows are read whole; of more, a sample in so many short stretches that a plot of it has no stripes.
const WHOLE = 4000;
const SAMPLED = 2000;
const PAGE = 500;
const STRETCHES = 50;
const AT_ONCE = 6;

/** `{total, rows, values, whole}`: the row numbers and their values, as numbers or null; `whole`: those are all rows. */
export async function sample(path, column, signal) {
  const first = await get(path, { columns: [column], limit: PAGE }, signal);
  const total = first.total_rows;
  const pages = [first];
  if (total <= WHOLE) {
    while (pages.at(-1).next) pages.push(await get(path, { columns: [column], limit: PAGE, cursor: pages.at(-1).next }, signal));
  } else {
    const size = SAMPLED / STRETCHES;
    const starts = Array.from({ length: STRETCHES }, (_, place) => Math.floor((place * (total - size)) / (STRETCHES - 1)));
    const read = (first_row) => get(path, { columns: [column], limit: size, first_row }, signal);
    pages.length = 0;
    for (let at = 0; at < starts.length; at += AT_ONCE) pages.push(...(await Promise.all(starts.slice(at, at + AT_ONCE).map(read))));
  }
  const rows = [];
  const values = [];
  for (const page of pages) {
    page.rows.forEach(([value], place) => {
      rows.push(page.first_row + place);
      values.push(numeric(value));
    });
  }
  return { total, rows, values, whole: rows.length === total };
}

/** A number of the API, which tells large ones and NaN as text; null where it can't be drawn. */
export function numeric(value) {
  if (value === null || value === "") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** Thirty equal bins over the values. */
export function binned(values, bins = 30) {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  const low = known.reduce((a, b) => Math.min(a, b));
  const high = known.reduce((a, b) => Math.max(a, b));
  const width = (high - low) / bins || 1;
  const counts = new Array(bins).fill(0);
  for (const value of known) counts[Math.min(bins - 1, Math.floor((value - low) / width))] += 1;
  return { edges: Array.from({ length: bins + 1 }, (_, place) => low + place * width), counts };
}
