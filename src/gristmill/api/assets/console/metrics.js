// What a metrics job found.

import { count, figure, percent } from "./format.js";
import { Columns, Correlations } from "./figures.js";
import { html } from "./html.js";
import { Facts, Scroll } from "./parts.js";

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
        ["repeated rows", `${count(twice.value)}${twice.label === "exact" ? "" : ` (${twice.label})`}`],
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

function Drift({ of }) {
  const columns = of.columns ?? [];
  return html`<${Scroll} label="Drift">
    <table>
      <thead><tr><th scope="col">Column</th><th scope="col" class="number">Stability index</th><th scope="col" class="number">Kolmogorov-Smirnov</th></tr></thead>
      <tbody>
        ${columns.map((column) => html`<tr>
          <th scope="row"><bdi>${column.name}</bdi></th>
          <td class="number">${figure(column.psi?.value ?? column.psi)}</td>
          <td class="number">${figure(column.ks?.value ?? column.ks)}</td>
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}
