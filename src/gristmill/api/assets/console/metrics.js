// What a metrics job found.

import { count, figure, percent } from "./format.js";
import { Columns, Correlations } from "./figures.js";
import { html } from "./html.js";
import { Facts, Label, Scroll } from "./parts.js";

const QUANTILES = ["1%", "5%", "25%", "50%", "75%", "95%", "99%"];

export function Own({ result }) {
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
    ${numeric.length > 0 && html`<section><h2>Numbers</h2><${Numbers} columns=${numeric} /></section>`}
    <section><h2>Columns</h2><${Columns} columns=${report.columns} rows=${report.rows} /></section>
    ${report.correlations && html`<section><h2>Correlations</h2><${Correlations} of=${report.correlations} /></section>`}
    ${report.drift && html`<section><h2>Drift</h2><${Drift} of=${report.drift} /></section>`}
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

function Drift({ of }) {
  const columns = of.columns ?? [];
  return html`<${Scroll} label="Drift">
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
