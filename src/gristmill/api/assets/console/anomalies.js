// What an anomalies job found: the column with its bounds, and the flagged values in it.

import { get } from "./api.js";
import { count, figure } from "./format.js";
import { html, useMemo, useState } from "./html.js";
import { Label, Loaded, Scroll, useLoad } from "./parts.js";
import { Plot } from "./plot.js";
import { numeric, sample } from "./sample.js";

const PAGE = 500;
// Flagged rows are looked for in so many pages of the result.
const PAGES = 8;

export function Own({ job, result }) {
  const { report } = result;
  const flaggedFirst = [...report.columns].sort((a, b) => flagged(b) - flagged(a));
  const [column, pick] = useState(flaggedFirst[0]?.name);
  const entry = report.columns.find((one) => one.name === column);
  return html`
    <section class="panel" aria-label="Anomalies">
      <div class="filters">
        <h2>${count(report.rows_flagged)} of ${count(report.rows_in)} rows flagged</h2>
        <label>Column
          <select value=${column} onChange=${(event) => pick(event.currentTarget.value)}>
            ${flaggedFirst.map((one) => html`<option value=${one.name}>${one.name}</option>`)}
          </select>
        </label>
      </div>
      ${entry && html`<${Points} key=${column} job=${job} report=${report} entry=${entry} />`}
      <p class="muted">Method ${report.method}, threshold ${figure(report.threshold)}. ${report.accuracy === "exact" ? "Figures are exact." : html`<${Label} of=${{ label: report.accuracy, n: report.sample?.rows }} what="Figures" />`}</p>
    </section>
    <section>
      <h2>By column</h2>
      <${Table} report=${report} />
    </section>
  `;
}

function flagged(entry) {
  return entry.highest_in ?? (entry.below ?? 0) + (entry.above ?? 0);
}

/** Whether a flagged row is so for this column: beyond its bounds, or, where there are none, it is what led. */
function isHit(entry, lead, value) {
  if (!bounded(entry)) return lead === entry.name;
  return value !== null && (value < (entry.low ?? -Infinity) || value > (entry.high ?? Infinity));
}

async function points(job, report, entry, signal) {
  const { name } = entry;
  const base = job.input_job_id ? `jobs/${job.input_job_id}/result/rows` : `datasets/${job.dataset_id}/rows`;
  const own = report.output_columns;
  const query = { columns: [own.row_number, own.column, name], limit: PAGE };
  const [known, [rows, more]] = await Promise.all([sample(base, name, signal), flaggedRows(`jobs/${job.id}/result/rows`, query, signal)]);
  const mine = rows.filter(([, lead, value]) => isHit(entry, lead, numeric(value))).map(([row, , value]) => [Number(row), numeric(value)]);
  return { known, found: mine, looked: rows.length, more };
}

async function flaggedRows(path, query, signal) {
  const rows = [];
  let cursor;
  for (let page = 0; page < PAGES; page += 1) {
    const found = await get(path, { ...query, cursor }, signal);
    rows.push(...found.rows);
    cursor = found.next;
    if (!cursor) return [rows, false];
  }
  return [rows, true];
}

/** uPlot's shape: one axis of row numbers, the sampled values, and the flagged ones. */
function aligned({ known, found }) {
  const hit = new Map(found);
  const rows = [...new Set([...known.rows, ...hit.keys()])].sort((a, b) => a - b);
  const plain = new Map(known.rows.map((row, place) => [row, known.values[place]]));
  return [rows, rows.map((row) => (hit.has(row) ? null : (plain.get(row) ?? null))), rows.map((row) => hit.get(row) ?? null)];
}

function Points({ job, report, entry }) {
  const state = useLoad((signal) => points(job, report, entry, signal), [job.id, entry.name]);
  return html`<${Loaded} state=${state}>${(data) => html`<${Drawn} data=${data} entry=${entry} report=${report} />`}<//>`;
}

// A few far values would press all others into a line: then the plot begins near the bounds, so many widths around them.
const WIDTHS = 1.5;
const FAR = 20;

/** The part of the axis around the bounds, or null where there are none. */
function around(entry) {
  if (typeof entry.low !== "number" || typeof entry.high !== "number" || entry.high <= entry.low) return null;
  const width = entry.high - entry.low;
  return { low: entry.low - WIDTHS * width, high: entry.high + WIDTHS * width };
}

/** The same with what lies beyond drawn at the edge. */
function pinned([rows, ...series], edge) {
  const pin = (value) => (value === null ? null : Math.min(edge.high, Math.max(edge.low, value)));
  return [rows, ...series.map((values) => values.map(pin))];
}

function Drawn({ data, entry, report }) {
  const whole = useMemo(() => aligned(data), [data]);
  const edge = around(entry);
  const seen = whole.slice(1).flat().filter((value) => value !== null);
  const beyond = edge ? seen.filter((value) => value < edge.low || value > edge.high).length : 0;
  const span = seen.reduce((most, value) => Math.max(most, value), -Infinity) - seen.reduce((least, value) => Math.min(least, value), Infinity);
  const [near, zoom] = useState(beyond > 0 && span > FAR * (entry.high - entry.low));
  const drawn = useMemo(() => (near ? pinned(whole, edge) : whole), [whole, near]);
  const options = useMemo(() => optionsFor(entry, near ? edge : null), [entry, near]);
  const words = `${count(data.found.length)} flagged values of ${entry.name}` + (bounded(entry) ? `, outside of ${figure(entry.low)} to ${figure(entry.high)}` : "");
  return html`
  ${beyond > 0 && html`<label class="check"><input type="checkbox" checked=${near} onChange=${(event) => zoom(event.currentTarget.checked)} /> Only around the bounds</label>`}
  <${Plot} data=${drawn} options=${options} height=${300} label=${words}>
    <span class="key flagged">flagged (${count(data.found.length)}${data.more ? ` in the first ${count(data.looked)} of ${count(report.rows_flagged)} flagged rows` : ""})</span>
    <span class="key plain">${data.known.whole ? "all other values" : `a sample: ${count(data.known.rows.length)} of ${count(data.known.total)} rows, in stretches`}</span>
    ${bounded(entry) && html`<span class="key bound">bounds ${figure(entry.low)} and ${figure(entry.high)}</span>`}
    ${near && html`<span>${count(beyond)} that lie beyond are drawn at the edge</span>`}
    ${!bounded(entry) && report.groups?.length > 0 && html`<span>each group has bounds of its own</span>`}
  <//>`;
}

function bounded(entry) {
  return typeof entry.low === "number" || typeof entry.high === "number";
}

function optionsFor(entry, edge) {
  return (colour) => ({
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: false } },
    scales: {
      x: { time: false },
      y: { range: (_, low, high) => padded(edge ? [edge.low, edge.high] : [low, high, entry.low, entry.high].filter((value) => typeof value === "number")) },
    },
    axes: [{ label: "row", labelSize: 18, values: compact }, { size: 60, values: compact }],
    series: [
      {},
      { paths: () => null, points: { show: true, size: 3, width: 0, fill: colour("plain") } },
      { paths: () => null, points: { show: true, size: 7, width: 1.5, stroke: colour("flagged"), fill: colour("panel") } },
    ],
    hooks: { drawSeries: [(plot, place) => place === 1 && bounds(plot, entry, colour("bound"))] },
  });
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
// Neighbouring ticks must read differently, as 1,000 and 1,020 do not as 1K and 1.02K.
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const compact = (_, ticks) => ticks.map((tick) => (Math.abs(tick) < 1e5 ? plain : short).format(tick));

function padded(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}

function bounds(plot, entry, stroke) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const value of [entry.low, entry.high]) {
    if (typeof value !== "number") continue;
    const y = plot.valToPos(value, "y", true);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

function Table({ report }) {
  return html`<${Scroll} label="Columns judged">
    <table>
      <thead><tr><th scope="col">Column</th><th scope="col" class="number">Values</th><th scope="col" class="number">Low bound</th><th scope="col" class="number">High bound</th><th scope="col" class="number">Flagged</th><th scope="col">Note</th></tr></thead>
      <tbody>
        ${report.columns.map((one) => html`<tr>
          <th scope="row"><bdi>${one.name}</bdi></th>
          <td class="number">${count(one.values)}</td>
          <td class="number">${figure(one.low)}</td>
          <td class="number">${figure(one.high)}</td>
          <td class="number">${count(flagged(one))}</td>
          <td class="wide">${one.note ?? ""} ${one.masked && html`${count(one.masked.values)} hide behind others <${Label} of=${one.masked} />`} ${one.frequency_error > 0 && html`<${Label} of=${{ label: "approximate", share_off_by_at_most: one.frequency_error }} />`}</td>
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}
