// What a metrics job found.

import { count, figure, percent } from "./format.js";
import { Columns, Correlations } from "./figures.js";
import { html } from "./html.js";
import { Facts, Label, Scroll } from "./parts.js";
import { link } from "./router.js";

const QUANTILES = ["1%", "5%", "25%", "50%", "75%", "95%", "99%"];

export function Own({ job, result }) {
  const { report } = result;
  const numeric = report.columns.filter((column) => column.quantiles);
  const { duplicate_rows: twice } = report.dataset;
  return html`
    <section class="panel" aria-label="The dataset">
      <h2>The dataset</h2>
      <${Facts} of=${[
        ["rows", count(report.rows)],
        ["columns", count(report.dataset.columns)],
        ["missing cells", `${count(report.dataset.nulls)} (${percent(report.dataset.nulls, report.rows * report.dataset.columns)})`],
        ["repeated rows", html`${count(twice.value)} <${Label} of=${twice} />`],
      ]} />
    </section>
    ${report.drift && html`<section aria-label="What has changed"><h2>Drift</h2><${Drift} of=${report.drift} baseline=${job.params.baseline_dataset_id} /></section>`}
    ${numeric.length > 0 && html`<section><h2>Numbers</h2><${Numbers} columns=${numeric} /></section>`}
    <section><h2>Columns</h2><${Columns} columns=${report.columns} rows=${report.rows} datasetId=${job.input_job_id ? undefined : job.dataset_id} /></section>
    ${report.correlations && html`<section><h2>Correlations</h2><${Correlations} of=${report.correlations} /></section>`}
  `;
}

function Numbers({ columns }) {
  const plain = ["mean", "std", "min", "max", "skew", "kurtosis", "iqr", "mad"];
  return html`<${Scroll} label="Figures of numbers">
    <table class="data">
      <thead><tr><th scope="col">Column</th>${[...plain, ...QUANTILES].map((name) => html`<th scope="col" class="number">${name}</th>`)}</tr></thead>
      <tbody>
        ${columns.map((column) => html`<tr>
          <th scope="row"><bdi>${column.name}</bdi></th>
          ${plain.map((name) => html`<td class="number">${figure(column[name])}</td>`)}
          ${QUANTILES.map((name) => html`<td class="number">${figure(column.quantiles[name])}</td>`)}
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}

function share(value) {
  return typeof value === "number" ? percent(value, 1) : "–";
}

// What has changed most comes first.
const LEVELS = ["none", "moderate", "large"];
const rank = (column) => LEVELS.indexOf(column.level ?? "none");

function Drift({ of, baseline }) {
  const columns = (of.columns ?? []).toSorted((a, b) => rank(b) - rank(a));
  const changed = columns.filter((column) => rank(column) > 0).length;
  return html`
  <p class="before">${changed === 0 ? "No column" : html`<b class="warn">${count(changed)} of ${count(columns.length)} columns</b>`} changed against <a href=${link("datasets", baseline)}>the baseline</a> of ${count(of.baseline_rows)} rows. <span class="muted">A stability index below 0.1 is no change, from 0.25 on a large one.</span></p>
  ${of.only_in_baseline?.length > 0 && html`<p class="before warn">Only in the baseline: <bdi>${of.only_in_baseline.join(", ")}</bdi></p>`}
  <${Scroll} label="Drift">
    <table>
      <thead><tr><th scope="col">Column</th><th scope="col" class="number">Stability index</th><th scope="col">Change</th><th scope="col" class="number">Kolmogorov-Smirnov</th><th scope="col" class="number">Missing before</th><th scope="col" class="number">Missing now</th><th scope="col">Note</th></tr></thead>
      <tbody>
        ${columns.map((column) => html`<tr>
          <th scope="row"><bdi>${column.name}</bdi></th>
          <td class="number">${figure(column.psi)}</td>
          <td class=${column.level && column.level !== "none" ? "warn" : ""}>${column.level ?? "–"}</td>
          <td class="number">${figure(column.ks?.statistic)}</td>
          <td class="number">${share(column.missing?.baseline)}</td>
          <td class="number">${share(column.missing?.share)}</td>
          <td class="wide">${column.note ?? ""} <${Label} of=${column.accuracy} /></td>
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}
