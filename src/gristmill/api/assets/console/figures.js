// Columns with their figures, histograms and gaps; correlations as a coloured table.

import { count, figure, fixed, percent, span, stamp, typeName } from "./format.js";
import { html, useState } from "./html.js";
import { Label, Scroll } from "./parts.js";
import { link } from "./router.js";

const AT_ONCE = 24;
const WIDTH = 240;
const HEIGHT = 56;

/** A histogram as a picture with words: `edges` has one more than `counts`. Marks are lines at a value. */
export function Histogram({ edges, counts, marks = [], label }) {
  const most = Math.max(1, ...counts);
  const [low, high] = [edges[0], edges.at(-1)];
  const x = (value) => (high > low ? ((value - low) / (high - low)) * WIDTH : WIDTH / 2);
  const seen = marks.filter((mark) => mark.at >= low && mark.at <= high);
  return html`<figure class="histogram">
    <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${label}>
      ${counts.map((height, place) => {
        const left = x(edges[place]);
        const width = Math.max(0.5, x(edges[place + 1]) - left - 0.6);
        const size = height ? Math.max(1, (height / most) * HEIGHT) : 0;
        return html`<rect x=${left} y=${HEIGHT - size} width=${width} height=${size}><title>${`${figure(edges[place])} to ${figure(edges[place + 1])}: ${count(height)}`}</title></rect>`;
      })}
      ${seen.map((mark) => html`<line class=${mark.kind} x1=${x(mark.at)} x2=${x(mark.at)} y1="0" y2=${HEIGHT}><title>${mark.title}</title></line>`)}
    </svg>
    <figcaption><span>${figure(low)}</span><span>${figure(high)}</span></figcaption>
  </figure>`;
}

/** `datasetId`: where anomalies of these columns can be looked for. */
export function Columns({ columns, rows, datasetId }) {
  const [shown, show] = useState(AT_ONCE);
  return html`
    <ul class="columns">${columns.slice(0, shown).map((column) => html`<li class="panel"><${Column} of=${column} rows=${rows} datasetId=${datasetId} /></li>`)}</ul>
    ${columns.length > shown && html`<p><button type="button" onClick=${() => show(shown + 4 * AT_ONCE)}>Show more of ${count(columns.length)} columns</button></p>`}
  `;
}

// So many quartile distances beyond the quartiles is far out (Tukey, 1977).
const FAR = 3;

/** The least and the greatest value, where they are far from all others: such a value makes a histogram a single bar. */
function farOut({ min, max, iqr, quantiles }) {
  if (!(iqr > 0) || !quantiles) return [];
  return [min, max].filter((value) => value < quantiles["25%"] - FAR * iqr || value > quantiles["75%"] + FAR * iqr);
}

function Far({ of, datasetId }) {
  const far = farOut(of);
  if (far.length === 0) return null;
  return html`<p class="quick warn">
    <span>far from the others: <b>${far.map(figure).join(" and ")}</b></span>
    ${datasetId && html`<a href=${link("processors", "anomalies", { dataset: datasetId })} aria-label=${`Find anomalies like those of ${of.name}`}>Find anomalies</a>`}
  </p>`;
}

function Column({ of, rows, datasetId }) {
  const missing = (of.nulls ?? 0) + (of.nan ?? 0);
  return html`
    <h3><bdi>${of.name}</bdi> <small title=${of.type}>${typeName(of.type)}</small></h3>
    <p class="gaps">
      <meter class="nulls" min="0" max=${Math.max(1, rows)} value=${missing} aria-label=${`Missing in ${of.name}`}></meter>
      <span class=${missing ? "warn" : "muted"}>${missing ? `${percent(missing, rows)} missing` : "none missing"}</span>
      ${typeof of.distinct === "number" && html`<span class="muted">${of.accuracy?.distinct ? "about " : ""}${count(of.distinct)} distinct</span>`}
    </p>
    ${of.histogram
      ? html`<${Histogram} edges=${of.histogram.edges} counts=${of.histogram.counts} label=${`Histogram of ${of.name}, from ${figure(of.min)} to ${figure(of.max)}`} />
          <p class="quick"><span>mean <b>${figure(of.mean)}</b></span><span>median <b>${figure(of.quantiles?.["50%"])}</b></span><span>std <b>${figure(of.std)}</b></span></p>`
      : of.top_values?.length > 0 && !of.unique
        ? html`<${Top} values=${of.top_values} total=${of.count} />`
        : null}
    ${Object.entries(of.accuracy ?? {}).filter(([, told]) => typeof told === "object").map(([what, told]) => html`<p><${Label} of=${told} what=${what.replaceAll("_", " ")} /></p>`)}
    ${of.earliest !== undefined && html`<p class="quick"><span>from <b>${stamp(of.earliest)}</b></span><span>to <b>${stamp(of.latest)}</b></span></p>`}
    ${of.gaps && html`<p class="quick">
      <span>step <b>${span(of.gaps.median_step)}</b></span>
      <span>largest <b>${span(of.gaps.largest.step)}</b></span>
      ${of.gaps.irregular_steps > 0 && html`<span>${count(of.gaps.irregular_steps)} of ${count(of.gaps.steps)} steps differ</span>`}
    </p>`}
    <${Far} of=${of} datasetId=${datasetId} />
    ${of.infinities > 0 && html`<p class="warn">${count(of.infinities)} infinite</p>`}
    <p class="quick">
      ${of.constant && html`<span>always the same</span>`}
      ${of.unique && html`<span>every value is another</span>`}
      ${of.monotonic && !of.constant && html`<span>${of.monotonic.replaceAll("_", " ")}</span>`}
    </p>
  `;
}

function Top({ values, total }) {
  return html`<ol class="top">
    ${values.slice(0, 4).map(({ value, count: times }) => html`<li>
      <span><bdi>${value === "" ? html`<i>empty</i>` : String(value)}</bdi></span>
      <meter min="0" max=${Math.max(1, total)} value=${times} aria-label=${`${count(times)} of ${count(total)}`}></meter>
      <small>${percent(times, total)}</small>
    </li>`)}
  </ol>`;
}

export function Correlations({ of }) {
  const kinds = ["pearson", "spearman"].filter((kind) => Array.isArray(of[kind]));
  return html`<div class="stack">${kinds.map((kind) => html`<${Scroll} label=${`Correlations (${kind})`}>
    <table class="correlations">
      <caption>${kind === "pearson" ? "Pearson" : "Spearman (ranks)"} <${Label} of=${of[`${kind}_accuracy`]} /></caption>
      <thead><tr><td></td>${of.columns.map((name) => html`<th scope="col"><bdi>${name}</bdi></th>`)}</tr></thead>
      <tbody>
        ${of[kind].map((row, place) => html`<tr>
          <th scope="row"><bdi>${of.columns[place]}</bdi></th>
          ${row.map((value) => html`<td class=${shade(value)}>${fixed(value, 2)}</td>`)}
        </tr>`)}
      </tbody>
    </table>
  <//>`)}</div>`;
}

/** Ten shades a side; the figure stands in the cell as well. */
function shade(value) {
  if (value === null) return "null";
  return `${value < 0 ? "minus" : "plus"} s${Math.round(Math.abs(value) * 5)}`;
}
