// What a normalize job did: its steps, and each changed column before and after.

import { get } from "./api.js";
import { count, figure } from "./format.js";
import { Histogram } from "./figures.js";
import { html, useState } from "./html.js";
import { Facts, Label, Loaded, Scroll, useLoad } from "./parts.js";
import { binned, sample } from "./sample.js";

export function Own({ job, result }) {
  const { report } = result;
  return html`
    <section class="panel" aria-label="Steps">
      <h2>Steps <${Label} of=${report.accuracy} what="figures" /></h2>
      <ol class="steps">${(report.steps ?? []).map((step) => html`<li>
        <b>${step.op}</b> <span class="muted">${[step.method, step.strategy].filter(Boolean).join(", ")}</span>
        <span> ${count(step.rows_in)} rows in, ${count(step.rows_out)} out${step.rows_dropped ? html`, <span class="warn">${count(step.rows_dropped)} dropped</span>` : ""}</span>
        <${Fitted} columns=${step.columns} op=${step.op} />
      </li>`)}</ol>
    </section>
    <${BeforeAfter} job=${job} steps=${report.steps ?? []} />
  `;
}

/** What was fitted for each column, in a table of whatever figures the step has. */
function Fitted({ columns, op }) {
  const known = (columns ?? []).filter((one) => one !== null && typeof one === "object");
  if (known.length === 0) return null;
  const names = [...new Set(known.flatMap((one) => Object.keys(one)))].filter((name) => known.some((one) => one[name] === null || typeof one[name] !== "object"));
  return html`<details>
    <summary>${count(known.length)} ${known.length === 1 ? "column" : "columns"}</summary>
    <${Scroll} label=${`Fitted by ${op}`}>
      <table class="data">
        <thead><tr>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
        <tbody>${known.map((one) => html`<tr>${names.map((name) => html`<td class=${typeof one[name] === "number" ? "number" : ""}>${typeof one[name] === "number" ? figure(one[name]) : String(one[name] ?? "–")}</td>`)}</tr>`)}</tbody>
      </table>
    <//>
  </details>`;
}

const NUMBER = /^(U?Int|Float|Decimal)/;

/** The columns that a step names, so that a changed one comes first. */
function touched(steps) {
  return new Set(steps.flatMap((step) => step.columns ?? []).map((one) => one?.column ?? one));
}

function BeforeAfter({ job, steps }) {
  const before = job.input_job_id ? `jobs/${job.input_job_id}/result/rows` : `datasets/${job.dataset_id}/rows`;
  const after = `jobs/${job.id}/result/rows`;
  const both = useLoad(async (signal) => {
    const [old, made] = await Promise.all([get(before, { limit: 1 }, signal), get(after, { limit: 1 }, signal)]);
    const there = new Set(old.columns.filter((column) => NUMBER.test(column.type)).map((column) => column.name));
    const names = made.columns.filter((column) => NUMBER.test(column.type) && there.has(column.name)).map((column) => column.name);
    const first = touched(steps);
    return [...names.filter((name) => first.has(name)), ...names.filter((name) => !first.has(name))];
  }, [job.id]);
  const [picked, pick] = useState(null);
  return html`<${Loaded} state=${both}>${(names) => {
    if (names.length === 0) return null;
    const column = picked ?? names[0];
    return html`<section class="panel" aria-label="Before and after">
      <div class="filters">
        <h2>Before and after</h2>
        <label>Column
          <select value=${column} onChange=${(event) => pick(event.currentTarget.value)}>${names.map((name) => html`<option value=${name}>${name}</option>`)}</select>
        </label>
      </div>
      <div class="pair">
        <${Side} key=${`before ${column}`} title="Before" path=${before} column=${column} />
        <${Side} key=${`after ${column}`} title="After" path=${after} column=${column} />
      </div>
    </section>`;
  }}<//>`;
}

function of(whole) {
  return whole ? "" : " (of the sample)";
}

// A mean of what was centered is off zero by how floats add up.
const ROUNDING = 1e-12;

function Side({ title, path, column }) {
  const found = useLoad((signal) => sample(path, column, signal), [path, column]);
  return html`<div>
    <h3>${title}</h3>
    <${Loaded} state=${found}>${({ values, total, rows, whole }) => {
      const bins = binned(values);
      const known = values.filter((value) => value !== null);
      const size = known.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const mean = known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
      return html`
        ${bins ? html`<${Histogram} edges=${bins.edges} counts=${bins.counts} label=${`${column} ${title.toLowerCase()}: ${figure(bins.edges[0])} to ${figure(bins.edges.at(-1))}`} />` : html`<p class="muted">No values.</p>`}
        <${Facts} of=${[[`mean${of(whole)}`, figure(mean !== null && Math.abs(mean) < size * ROUNDING ? 0 : mean)], [`missing${of(whole)}`, count(values.length - known.length)]]} />
        <p class="muted">${whole ? `All ${count(total)} rows.` : `A sample: ${count(rows.length)} of ${count(total)} rows, in stretches.`}</p>
      `;
    }}<//>
  </div>`;
}
