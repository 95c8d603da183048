// Pages of rows, and of the rows that were rejected.

import { get } from "./api.js";
import { cell, count, typeName } from "./format.js";
import { html, useState } from "./html.js";
import { Empty, Loaded, Pager, Problem, Scroll, useLoad } from "./parts.js";

const REASONS = ["extra cells", "missing cells", "unclosed quote", "text after a closing quote", "bad encoding", "cell too long", "row too long", "bad JSON", "not a JSON object", "footer", "another table", "repeated header"];
const NUMBERS = /^(U?Int|Float|Decimal)/;

/** A table of typed rows, as the API's `…/rows` tells it. */
export function RowTable({ page, label }) {
  return html`<${Scroll} label=${label}>
    <table class="data">
      <thead>
        <tr>
          <th scope="col" class="number">Row</th>
          ${page.columns.map((column) => html`<th scope="col" class=${NUMBERS.test(column.type) ? "number" : ""}><bdi>${column.name}</bdi><small title=${column.type}>${typeName(column.type)}</small></th>`)}
        </tr>
      </thead>
      <tbody>
        ${page.rows.map((row, place) => html`<tr>
          <th scope="row" class="number muted">${count(page.first_row + place)}</th>
          ${row.map((value, at) => html`<${Cell} value=${value} number=${NUMBERS.test(page.columns[at].type)} />`)}
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}

function Cell({ value, number }) {
  const text = cell(value);
  if (text === null) return html`<td class=${number ? "null number" : "null"}><span>null</span></td>`;
  return html`<td class=${number ? "number" : ""} title=${text.length > 60 ? text : undefined}>${text}</td>`;
}

export function Rows({ path, what }) {
  const [at, move] = useState({ cursors: [], first_row: 0 });
  const page = useLoad((signal) => get(path, { limit: 50, cursor: at.cursors.at(-1), first_row: at.first_row || "" }, signal), [path, at]);
  const jump = (event) => {
    event.preventDefault();
    move({ cursors: [], first_row: Number(new FormData(event.currentTarget).get("row")) });
  };
  return html`<${Loaded} state=${page}>${(data) => html`
    <div class="filters">
      <p class="muted">${count(data.total_rows)} ${what}, ${count(data.columns.length)} columns</p>
      ${data.total_rows > 50 && html`<form onSubmit=${jump}>
        <label>From row <input name="row" type="number" min="0" max=${data.total_rows - 1} required defaultValue=${at.first_row} /></label>
        <button>Go</button>
      </form>`}
    </div>
    <${RowTable} page=${data} label=${what} />
    <${Problem} error=${page.error} />
    <${Pager} cursors=${at.cursors} next=${data.next} onMove=${(cursors) => move({ ...at, cursors })} what=${what} />
  `}<//>`;
}

export function Rejects({ id }) {
  const [reason, pick] = useState("");
  const [cursors, move] = useState([]);
  const page = useLoad((signal) => get(`datasets/${id}/rejects`, { limit: 50, reason, cursor: cursors.at(-1) }, signal), [id, reason, cursors]);
  const choose = (event) => {
    pick(event.currentTarget.value);
    move([]);
  };
  return html`<${Loaded} state=${page}>${(data) =>
    data.rows_rejected === 0
      ? html`<${Empty}>Every row was loaded.<//>`
      : html`
        <div class="filters">
          <p class="muted">${data.rows_rejected === 1 ? "1 row of the original was not loaded. It is kept as it came." : `${count(data.rows_rejected)} rows of the original were not loaded. They are kept as they came.`}</p>
          <label>Reason
            <select value=${reason} onChange=${choose}>
              <option value="">all</option>
              ${REASONS.map((name) => html`<option>${name}</option>`)}
            </select>
          </label>
        </div>
        ${data.items.length === 0
          ? html`<${Empty}>None for this reason.<//>`
          : html`<${Scroll} label="Rejected rows">
              <table class="data">
                <thead><tr><th scope="col" class="number">Line</th><th scope="col" class="number">Column</th><th scope="col">Reason</th><th scope="col">As it came</th></tr></thead>
                <tbody>
                  ${data.items.map((item) => html`<tr>
                    <th scope="row" class="number">${count(item.line)}</th>
                    <td class="number">${item.column ?? "–"}</td>
                    <td>${item.reason}</td>
                    <td><code class="raw">${item.raw}</code></td>
                  </tr>`)}
                </tbody>
              </table>
            <//>`}
        <${Pager} cursors=${cursors} next=${data.next} onMove=${move} what="rejected rows" />
      `}<//>`;
}
