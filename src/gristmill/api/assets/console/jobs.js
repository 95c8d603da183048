// All jobs, live.

import { get } from "./api.js";
import { html, useState } from "./html.js";
import { useJobs } from "./live.js";
import { Empty, Lasted, LiveMark, Loaded, Pager, Progress, Scroll, Status, Time, Title, useLoad } from "./parts.js";
import { go, link } from "./router.js";

const STATUSES = ["pending", "running", "completed", "failed", "canceled"];
const PAGE = 25;

export function View({ query }) {
  const { status = "", kind = "" } = query;
  return html`<${List} key=${`${status} ${kind}`} status=${status} kind=${kind} />`;
}

function List({ status, kind }) {
  const [cursors, move] = useState([]);
  const [live, setLive] = useState("lost");
  const kinds = useLoad((signal) => get("processors", {}, signal), []);
  const names = useLoad(async (signal) => {
    const { items } = await get("datasets", { limit: 200 }, signal);
    return new Map(items.map((one) => [one.id, one.name]));
  }, []);
  const list = useLoad((signal) => get("jobs", { limit: PAGE, status, kind, cursor: cursors.at(-1) }, signal), [status, kind, cursors]);
  const put = (job) => {
    if (!list.data) return;
    const fits = (!status || job.status === status) && (kind ? job.kind === kind : job.kind !== "ingest");
    list.set({ ...list.data, items: merged(list.data.items, job, fits, cursors.length === 0) });
  };
  useJobs({
    open: list.reload,
    job: put,
    gone: ({ id }) => list.data && list.set({ ...list.data, items: list.data.items.filter((item) => item.id !== id) }),
    state: setLive,
  });
  const filter = (more) => go("jobs", { status, kind, ...more });
  const known = (kinds.data?.items ?? []).map((one) => one.kind);
  return html`
    <${Title} name="Jobs">Jobs <${LiveMark} state=${live} /><//>
    <div class="filters">
      <label>Status
        <select value=${status} onChange=${(event) => filter({ status: event.currentTarget.value })}>
          <option value="">all</option>
          ${STATUSES.map((name) => html`<option value=${name}>${name}</option>`)}
        </select>
      </label>
      <label>Kind
        <select value=${kind} onChange=${(event) => filter({ kind: event.currentTarget.value })}>
          <option value="">all but ingest</option>
          ${[...new Set([...known, "ingest", ...(kind ? [kind] : [])])].map((name) => html`<option value=${name}>${name}</option>`)}
        </select>
      </label>
      <a class="button primary" href="#/processors">New job</a>
    </div>
    <${Loaded} state=${list}>${(page) => html`
      ${page.items.length === 0
        ? html`<${Empty}>${status || kind ? "There is none like that." : "There are no jobs yet."}<//>`
        : html`<${Table} items=${page.items} names=${names.data} />`}
      <${Pager} cursors=${cursors} next=${page.next} onMove=${move} what="jobs" />
    `}<//>
  `;
}

/** The page with what is known of a job now: in its place, or, on the first page, at the top if it is new. */
function merged(items, job, fits, first) {
  const at = items.findIndex((item) => item.id === job.id);
  if (at >= 0) return fits ? items.with(at, job) : items.toSpliced(at, 1);
  const newest = items.length === 0 || job.id > items[0].id;
  return fits && first && newest ? [job, ...items].slice(0, PAGE) : items;
}

function Table({ items, names }) {
  return html`<${Scroll} label="Jobs">
    <table>
      <thead>
        <tr><th scope="col">Job</th><th scope="col">Status</th><th scope="col">Dataset</th><th scope="col" class="number">Attempt</th><th scope="col">Submitted</th><th scope="col" class="number">Took</th></tr>
      </thead>
      <tbody>
        ${items.map((job) => html`<tr key=${job.id}>
          <th scope="row"><a href=${link("jobs", job.id)}>${job.kind}</a> <small class="id">${job.id.slice(-8)}</small></th>
          <td class="wide">
            <${Status} of=${job.cancel_requested_at && job.status === "running" ? "canceling" : job.status} />
            ${job.status === "running" && html`<${Progress} of=${job.progress} label=${`Progress of ${job.kind}`} />`}
            ${job.error && html`<span class="why">${job.error.detail}</span>`}
            ${job.reused_from && html`<small class="muted">as an identical one</small>`}
          </td>
          <td class="name"><a href=${link("datasets", job.dataset_id)}>${names?.has(job.dataset_id) ? html`<bdi>${names.get(job.dataset_id)}</bdi>` : html`<span class="id">${job.dataset_id.slice(-8)}</span>`}</a></td>
          <td class="number">${job.attempt} of ${job.max_attempts}</td>
          <td><${Time} at=${job.created_at} /></td>
          <td class="number"><${Lasted} job=${job} /></td>
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}
