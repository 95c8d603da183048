// All datasets, and the way in for new ones.

import { get } from "./api.js";
import { bytes, count } from "./format.js";
import { html, useState } from "./html.js";
import { useJobs } from "./live.js";
import { Empty, Loaded, Pager, Progress, Scroll, Status, Time, Title, useLoad } from "./parts.js";
import { link } from "./router.js";
import { Upload } from "./upload.js";

const STATUSES = ["validating", "ready", "failed"];

export function View({ query }) {
  const [cursors, move] = useState([]);
  const [status, pick] = useState(query.status ?? "");
  const [progress, setProgress] = useState({});
  const list = useLoad((signal) => get("datasets", { limit: 25, status, cursor: cursors.at(-1) }, signal), [status, cursors]);
  useJobs({
    open: list.reload,
    job: (job) => {
      if (job.kind !== "ingest") return;
      setProgress((was) => ({ ...was, [job.dataset_id]: job.progress }));
      const known = list.data?.items.find((item) => item.id === job.dataset_id);
      if (job.finished_at || !known) list.reload();
    },
  });
  return html`
    <${Title} name="Datasets" />
    <${Upload} />
    <div class="filters">
      <label>Status
        <select value=${status} onChange=${(event) => {
          pick(event.currentTarget.value);
          move([]);
        }}>
          <option value="">all</option>
          ${STATUSES.map((name) => html`<option>${name}</option>`)}
        </select>
      </label>
    </div>
    <${Loaded} state=${list}>${(page) => html`
      ${page.items.length === 0
        ? html`<${Empty}>${status ? "There is none of this status." : "There are no datasets yet. Drop a file above, or send one with curl."}<//>`
        : html`<${Table} items=${page.items} progress=${progress} />`}
      <${Pager} cursors=${cursors} next=${page.next} onMove=${move} what="datasets" />
    `}<//>
  `;
}

function Table({ items, progress }) {
  return html`<${Scroll} label="Datasets">
    <table>
      <thead>
        <tr><th scope="col">Name</th><th scope="col">Status</th><th scope="col" class="number">Rows</th><th scope="col" class="number">Rejected</th><th scope="col" class="number">Size</th><th scope="col">Format</th><th scope="col">Uploaded</th></tr>
      </thead>
      <tbody>
        ${items.map((item) => html`
          <tr key=${item.id}>
            <th scope="row"><a class="name" href=${link("datasets", item.id)}><bdi>${item.name}</bdi></a></th>
            <td>
              <${Status} of=${item.status} />
              ${item.status === "validating" && progress[item.id] && html`<${Progress} of=${progress[item.id]} label=${`Reading ${item.name}`} />`}
            </td>
            <td class="number">${count(item.rows_loaded)}</td>
            <td class=${item.rows_rejected ? "number warn" : "number"}>${count(item.rows_rejected)}</td>
            <td class="number">${bytes(item.size_bytes)}</td>
            <td>${item.format}</td>
            <td><${Time} at=${item.created_at} /></td>
          </tr>
        `)}
      </tbody>
    </table>
  <//>`;
}
