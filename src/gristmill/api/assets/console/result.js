// What a job made: its files, and what its kind has to show.

import { get, send } from "./api.js";
import { bytes, count } from "./format.js";
import { html, useEffect, useState } from "./html.js";
import { Action, Loaded, Problem, Scroll, useLoad } from "./parts.js";
import { go } from "./router.js";
import { Rows } from "./rows.js";

const SHOWN_BY = {
  anomalies: () => import("./anomalies.js"),
  metrics: () => import("./metrics.js"),
  normalize: () => import("./normalize.js"),
};

export function Result({ job }) {
  const result = useLoad((signal) => get(`jobs/${job.id}/result`, {}, signal), [job.id, job.finished_at]);
  const [view, set] = useState(null);
  useEffect(() => {
    SHOWN_BY[job.kind]?.().then((module) => set({ Own: module.Own }));
  }, [job.kind]);
  return html`<${Loaded} state=${result}>${(data) => html`
    ${view && html`<${view.Own} job=${job} result=${data} />`}
    <section class="panel" aria-label="Result">
      <h2>Result</h2>
      <p>${count(data.rows_in)} rows in, ${count(data.rows_out)} out, ${count(data.rows_dropped)} dropped.</p>
      <${Files} job=${job} files=${data.files} />
      ${job.links.rows && job.kind !== "ingest" && html`<${Action} run=${async () => go("jobs", (await send("POST", "jobs", { kind: "metrics", input: { job_id: job.id } })).id)}>Metrics of the result<//>`}
    </section>
    ${data.report?.warnings?.length > 0 && html`<section class="panel warnings">
      <h2>Warnings <b>${count(data.report.warnings.length)}</b></h2>
      <ul>${data.report.warnings.map((text) => html`<li>${text}</li>`)}</ul>
    </section>`}
  `}<//>`;
}

export function ResultRows({ job }) {
  if (!job.links.rows || job.kind === "ingest") return null;
  return html`<section>
    <h2>Rows of the result</h2>
    <${Rows} path=${`jobs/${job.id}/result/rows`} what="rows of the result" />
  </section>`;
}

/** The links need no key, and not for long: on an old page a press fetches a fresh one. */
function Files({ job, files }) {
  const [error, set] = useState(null);
  const check = async (event, file) => {
    if (Date.parse(file.url_expires_at) > Date.now()) return;
    event.preventDefault();
    try {
      const fresh = await get(`jobs/${job.id}/result`);
      window.location.assign(fresh.files.find((one) => one.name === file.name).url);
    } catch (failure) {
      set(failure);
    }
  };
  return html`
    <${Scroll} label="Files">
      <table>
        <thead><tr><th scope="col">File</th><th scope="col">Type</th><th scope="col" class="number">Rows</th><th scope="col" class="number">Size</th><th scope="col">SHA-256</th></tr></thead>
        <tbody>
          ${files.map((file) => html`<tr>
            <th scope="row"><a href=${file.url} download onClick=${(event) => check(event, file)}>${file.name}</a></th>
            <td>${file.media_type.replace("application/", "")}</td>
            <td class="number">${count(file.rows)}</td>
            <td class="number">${bytes(file.size_bytes)}</td>
            <td><code class="id" title=${file.sha256}>${file.sha256.slice(0, 12)}…</code></td>
          </tr>`)}
        </tbody>
      </table>
    <//>
    <${Problem} error=${error} />
  `;
}
