// One job: how far it is, what happened to it, and what came of it.

import { get, send } from "./api.js";
import { between, duration, moment } from "./format.js";
import { html, useState } from "./html.js";
import { useJobs, useStream } from "./live.js";
import { Action, Facts, Lasted, LiveMark, Loaded, Problem, Progress, Status, Time, Title, useLoad } from "./parts.js";
import { Result, ResultRows } from "./result.js";
import { go, link } from "./router.js";

const WORDS = {
  created: "submitted",
  released: "what it waited for is there",
  claimed: "a worker took it",
  cancel_requested: "asked to stop",
  retrying: "this attempt failed; it is tried again",
  snoozed: "put off by its processor",
  interrupted: "its worker stopped; given back",
  resubmitted: "submitted again",
  completed: "completed",
  failed: "failed",
  canceled: "canceled",
};

export function View({ parts: [id] }) {
  const job = useLoad((signal) => get(`jobs/${id}`, {}, signal), [id]);
  const of = job.data?.dataset_id;
  // A removed dataset has no name; its id still says which one it was.
  const dataset = useLoad(async (signal) => (of ? await get(`datasets/${of}`, {}, signal).catch(() => null) : null), [of]);
  const [live, setLive] = useState("lost");
  useJobs({
    open: job.reload,
    job: (told) => told.id === id && job.set(told),
    state: setLive,
  });
  return html`<${Loaded} state=${job}>${(data) => html`
    <${Head} job=${data} live=${live} put=${job.set} />
    ${data.status === "running" && html`<section class="panel" aria-label="Progress">
      ${data.progress ? html`<${Progress} of=${data.progress} />` : html`<p class="muted" role="status">Begins…</p>`}
    </section>`}
    ${data.status === "pending" && html`<p class="panel muted" role="status">${waits(data)}</p>`}
    ${data.error && html`<${Problem} error=${data.error} />`}
    ${data.status === "completed" && html`<${Result} job=${data} />`}
    <div class="side">
      <section class="panel">
        <h2>What happened</h2>
        <${Timeline} job=${data} />
      </section>
      <section class="panel">
        <h2>As submitted</h2>
        <${Submitted} job=${data} name=${dataset.data?.name} />
      </section>
    </div>
    ${data.status === "completed" && html`<${ResultRows} job=${data} />`}
  `}<//>`;
}

function waits(job) {
  if (job.waits_for_dataset) return "Waits until its dataset is read.";
  if (job.waits_for) return "Waits for another job.";
  const due = (Date.parse(job.scheduled_at) - Date.now()) / 1000;
  return due > 1 ? `Due at ${moment(job.scheduled_at)}, in ${duration(due)}.` : "Waits for a worker.";
}

function Head({ job, live, put }) {
  const final = job.finished_at !== null;
  const status = job.cancel_requested_at && !final ? "canceling" : job.status;
  const remove = async () => {
    await send("DELETE", `jobs/${job.id}`);
    go("jobs");
  };
  return html`<div class="head">
    <${Title} name=${`${job.kind} job`} kicker=${html`<a href="#/jobs">Jobs</a>`}>${job.kind} <small class="id">${job.id.slice(-8)}</small> <${Status} of=${status} /><//>
    <div class="buttons">
      ${!final && html`<${LiveMark} state=${live} />`}
      ${!final && html`<${Action} kind="danger" run=${async () => put(await send("POST", `jobs/${job.id}/cancel`))}>Cancel<//>`}
      ${final && job.status !== "completed" && html`<${Action} kind="primary" run=${async () => put(await send("POST", `jobs/${job.id}/retry`))}>Retry<//>`}
      ${final && job.kind !== "ingest" && html`<a class="button" href=${link("processors", job.kind, { dataset: job.dataset_id, like: job.id })}>Another like it</a>`}
      ${final && job.kind !== "ingest" && html`<${Action} run=${remove} sure="Yes, delete it">Delete<//>`}
    </div>
  </div>`;
}

function Submitted({ job, name }) {
  return html`
    <${Facts} of=${[
      ["dataset", html`<a class=${name ? "name" : "id"} href=${link("datasets", job.dataset_id)}>${name ? html`<bdi>${name}</bdi>` : job.dataset_id.slice(-8)}</a>`],
      ["input", job.input_job_id && html`<a class="id" href=${link("jobs", job.input_job_id)}>${job.input_job_id.slice(-8)}</a>`],
      ["result of", job.reused_from && html`<a class="id" href=${link("jobs", job.reused_from)}>${job.reused_from.slice(-8)}</a>`],
      ["submitted", html`<${Time} at=${job.created_at} />`],
      ["waited", job.started_at && between(job.created_at, job.started_at)],
      ["took", html`<${Lasted} job=${job} />`],
      ["attempt", `${job.attempt} of ${job.max_attempts}`],
      ["priority", job.priority || undefined],
      ["time limit", duration(job.timeout_s)],
    ]} />
    <pre tabindex="0" role="region" aria-label="Params">${JSON.stringify(job.params, (_, value) => value ?? undefined, 2)}</pre>
  `;
}

/** The events as the stream tells them; after a retry it is followed anew. */
function Timeline({ job }) {
  const [events, set] = useState([]);
  const add = (event) => set((was) => (was.some((known) => known.id === event.id) ? was : [...was, event]));
  // With each attempt of a job that was final, the stream has more to tell.
  const path = job.finished_at ? `jobs/${job.id}/events?_=${job.finished_at}` : `jobs/${job.id}/events`;
  useStream(path, Object.fromEntries([...Object.keys(WORDS).map((type) => [type, add])]));
  return html`<ol class="timeline">
    ${events.map((event, place) => html`<li key=${event.id} class=${event.type}>
      <time datetime=${event.at}>${moment(event.at)}</time>
      <div>
        <b>${WORDS[event.type] ?? event.type}</b>
        ${event.attempt > 0 && html`<small class="muted"> attempt ${event.attempt}</small>`}
        ${place > 0 && html`<small class="muted"> after ${between(events[place - 1].at, event.at)}</small>`}
        ${event.data.error && html`<p class="why"><b>${event.data.error.title}</b>: ${event.data.error.detail}</p>`}
      </div>
    </li>`)}
  </ol>`;
}
