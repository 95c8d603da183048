// What an anomalies job found: the column with its bounds, and the flagged values in it.

import { get } from "./api.js";
import { count, figure } from "./format.js";
import { html, useMemo, useState } from "./html.js";
import { Loaded, Scroll, useLoad } from "./parts.js";
import { Plot } from "./plot.js";
import { numeric, sample } from "./sample.js";

const PAGE = 500;

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
      <p class="muted">Method ${report.method}, threshold ${figure(report.threshold)}; figures are ${report.accuracy}.</p>
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

async function points(job, report, name, signal) {
  const base = job.input_job_id ? `jobs/${job.input_job_id}/result/rows` : `datasets/${job.dataset_id}/rows`;
  const own = report.output_columns;
  const query = { columns: [own.row_number, own.column, name], limit: PAGE };
  const [known, found] = await Promise.all([sample(base, name, signal), get(`jobs/${job.id}/result/rows`, query, signal)]);
  const mine = found.rows.filter(([, lead]) => lead === name).map(([row, , value]) => [Number(row), numeric(value)]);
  return { known, found: mine, more: found.next !== undefined };
}

/** uPlot's shape: one axis of row numbers, the sampled values, and the flagged ones. */
function aligned({ known, found }) {
  const hit = new Map(found);
  const rows = [...new Set([...known.rows, ...hit.keys()])].sort((a, b) => a - b);
  const plain = new Map(known.rows.map((row, place) => [row, known.values[place]]));
  return [rows, rows.map((row) => (hit.has(row) ? null : (plain.get(row) ?? null))), rows.map((row) => hit.get(row) ?? null)];
}

function Points({ job, report, entry }) {
  const state = useLoad((signal) => points(job, report, entry.name, signal), [job.id, entry.name]);
  return html`<${Loaded} state=${state}>${(data) => html`<${Drawn} data=${data} entry=${entry} report=${report} />`}<//>`;
}

function Drawn({ data, entry, report }) {
  const drawn = useMemo(() => aligned(data), [data]);
  const options = useMemo(() => optionsFor(entry), [entry]);
  const words = `${count(data.found.length)} flagged values of ${entry.name}` + (bounded(entry) ? `, outside of ${figure(entry.low)} to ${figure(entry.high)}` : "");
  return html`<${Plot} data=${drawn} options=${options} height=${300} label=${words}>
    <span class="key flagged">flagged (${count(data.found.length)}${data.more ? " of the first 500 rows" : ""})</span>
    <span class="key plain">${data.known.whole ? "all other values" : `a sample: ${count(data.known.rows.length)} of ${count(data.known.total)} rows, in stretches`}</span>
    ${bounded(entry) && html`<span class="key bound">bounds ${figure(entry.low)} and ${figure(entry.high)}</span>`}
    ${!bounded(entry) && report.groups?.length > 0 && html`<span>each group has bounds of its own</span>`}
  <//>`;
}

function bounded(entry) {
  return typeof entry.low === "number" || typeof entry.high === "number";
}

function optionsFor(entry) {
  return (colour) => ({
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: true, y: false } },
    scales: {
      x: { time: false },
      y: { range: (_, low, high) => padded([low, high, entry.low, entry.high].filter((value) => typeof value === "number")) },
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
const compact = (_, ticks) => ticks.map((tick) => short.format(tick));

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
          <td class="wide">${one.note ?? ""}</td>
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}
