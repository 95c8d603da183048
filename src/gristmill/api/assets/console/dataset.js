// One dataset: how its reading goes, what was found in it, its rows, and what was not taken.

import { get, send } from "./api.js";
import { bytes, count } from "./format.js";
import { html, useState } from "./html.js";
import { useJobs } from "./live.js";
import { Action, Loaded, Problem, Progress, Status, Time, Title, useLoad } from "./parts.js";
import { Again, Profile } from "./profile.js";
import { go, link } from "./router.js";
import { Rejects, Rows } from "./rows.js";

const TABS_OF_FAILED = { jobs: "Jobs" };
const TABS = { profile: "Profile", rows: "Rows", rejects: "Rejected", jobs: "Jobs" };

export function View({ parts: [id, asked = "profile"] }) {
  const dataset = useLoad((signal) => get(`datasets/${id}`, {}, signal), [id]);
  const [progress, setProgress] = useState(null);
  const [jobs, changed] = useState(0);
  useJobs({
    open: dataset.reload,
    job: (job) => {
      if (job.dataset_id !== id) return;
      if (job.kind !== "ingest") return changed((was) => was + 1);
      setProgress(job.progress);
      if (job.finished_at) dataset.reload();
    },
  });
  const tab = dataset.data?.status === "failed" ? "jobs" : asked;
  return html`<${Loaded} state=${dataset}>${(data) => html`
    <${Head} data=${data} />
    ${data.status === "validating" && html`<section class="panel" aria-label="Ingest">
      <h2>Being read</h2>
      ${progress ? html`<${Progress} of=${progress} label="Ingest" />` : html`<p class="muted" role="status">Waits for a worker…</p>`}
    </section>`}
    ${data.error && html`<${Problem} error=${data.error} />`}
    ${data.status === "failed" && html`<section class="panel" aria-label="Read it otherwise">
      <h2>Read it otherwise</h2>
      <${Again} data=${data} />
    </section>`}
    ${data.status !== "validating" && html`
      <nav class="tabs" aria-label="Of this dataset">
        ${Object.entries(data.status === "failed" ? TABS_OF_FAILED : TABS).map(([name, title]) => html`<a href=${link("datasets", id, name)} aria-current=${name === tab ? "page" : undefined}>${title}${name === "rejects" && data.rows_rejected ? html` <b>${count(data.rows_rejected)}</b>` : ""}</a>`)}
      </nav>
      <${Tab} tab=${tab} data=${data} jobs=${jobs} />
    `}
  `}<//>`;
}

function Tab({ tab, data, jobs }) {
  if (tab === "rows") return html`<${Rows} path=${`datasets/${data.id}/rows`} what="rows" />`;
  if (tab === "rejects") return html`<${Rejects} id=${data.id} />`;
  if (tab === "jobs") return html`<${Jobs} id=${data.id} turn=${jobs} open=${data.status === "ready"} />`;
  return html`<${Profile} data=${data} turn=${jobs} />`;
}

function Head({ data }) {
  const remove = async () => {
    await send("DELETE", `datasets/${data.id}`);
    go("datasets");
  };
  const download = async () => {
    const { url } = await get(`datasets/${data.id}/content`, { redirect: "false" });
    window.location.assign(url);
  };
  return html`<div class="head">
    <${Title} name=${data.name} kicker=${html`<a href="#/datasets">Datasets</a>`}><bdi>${data.name}</bdi> <${Status} of=${data.status} /><//>
    <p class="muted">${bytes(data.size_bytes)} of ${data.format}, uploaded <${Time} at=${data.created_at} /></p>
    <div class="buttons">
      ${data.status !== "failed" && html`<a class="button primary" href=${link("processors", { dataset: data.id })}>New job</a>`}
      <${Action} run=${download}>Download<//>
      <${Action} run=${remove} sure="Yes, delete it">Delete<//>
    </div>
  </div>`;
}

function Jobs({ id, turn, open }) {
  const list = useLoad((signal) => get("jobs", { dataset_id: id, limit: 100 }, signal), [id, turn]);
  return html`<${Loaded} state=${list}>${({ items }) =>
    items.length === 0
      ? html`<p class="empty">No jobs on this dataset${open ? html` yet. <a href=${link("processors", { dataset: id })}>Submit one</a>` : ""}.</p>`
      : html`<ul class="cards">${items.map((job) => html`<li key=${job.id}>
          <a href=${link("jobs", job.id)}><b>${job.kind}</b></a> <${Status} of=${job.status} />
          <p class="muted"><${Time} at=${job.created_at} /></p>
        </li>`)}</ul>`}<//>`;
}
