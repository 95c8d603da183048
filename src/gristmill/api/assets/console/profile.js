// What was found in a dataset: its dialect, warnings, each column with a histogram, and correlations.

import { get, send } from "./api.js";
import { count, percent, sign } from "./format.js";
import { html, useRef, useState } from "./html.js";
import { Action, Facts, Loaded, Problem, useLoad } from "./parts.js";
import { Columns, Correlations } from "./figures.js";
import { go, link } from "./router.js";
import { Options, readOptions, sendFile, sentFile } from "./upload.js";

export function Profile({ data, turn }) {
  const profile = useLoad((signal) => get(`datasets/${data.id}/profile`, {}, signal), [data.id]);
  return html`<${Loaded} state=${profile}>${(found) => html`
    <div class="side">
      <section class="panel">
        <h2>Rows</h2>
        <${Facts} of=${[
          ["read", count(found.rows_read)],
          ["loaded", count(found.rows_loaded)],
          ["rejected", found.rows_rejected ? html`<a class="warn" href=${link("datasets", data.id, "rejects")}>${count(found.rows_rejected)} (${percent(found.rows_rejected, found.rows_read)})</a>` : "0"],
          ["repaired", count(found.rows_repaired)],
          ["columns", count(found.columns.length)],
        ]} />
      </section>
      <section class="panel" aria-label="Read as">
        <h2>Read as</h2>
        <${Dialect} data=${data} dialect=${found.dialect} />
      </section>
    </div>
    ${found.warnings.length > 0 && html`<section class="panel warnings">
      <h2>Warnings <b>${count(found.warnings.length)}</b></h2>
      <ul>${found.warnings.map((text) => html`<li>${text}</li>`)}</ul>
    </section>`}
    <section>
      <h2>Columns</h2>
      <${Columns} columns=${found.columns} rows=${found.rows_loaded} datasetId=${data.id} />
    </section>
    <${Together} data=${data} turn=${turn} />
  `}<//>`;
}

function Dialect({ data, dialect }) {
  const [open, show] = useState(false);
  const yes = (value) => (value === undefined ? undefined : value ? "yes" : "no");
  return html`
    <${Facts} of=${[
      ["format", dialect.format],
      ["compression", dialect.compression],
      ["sheet", dialect.sheet],
      ["encoding", dialect.encoding],
      ["delimiter", dialect.delimiter && sign(dialect.delimiter)],
      ["quote", dialect.quote && sign(dialect.quote)],
      ["header", yes(dialect.header)],
      ["lines before", dialect.preamble_lines || undefined],
      ["lines after", dialect.footer_lines || undefined],
      ["types", dialect.types],
    ]} />
    <p><button type="button" aria-expanded=${String(open)} onClick=${() => show(!open)}>Read it otherwise…</button></p>
    ${open && html`<${Again} data=${data} />`}
  `;
}

/** A dataset is what its bytes and options made of it; other options make another one. */
export function Again({ data }) {
  const form = useRef(null);
  const kept = sentFile(data.id);
  const [file, pick] = useState(kept?.file ?? null);
  const run = async () => {
    const told = readOptions(form.current);
    go("datasets", (await sendFile(file, told)).id);
  };
  return html`<form ref=${form} onSubmit=${(event) => event.preventDefault()}>
    <p class="muted">${kept ? `${kept.file.name} is sent again` : "Choose the file again; it is sent"} and becomes a new dataset. This one stays.</p>
    ${!kept && html`<label>File <input type="file" required onChange=${(event) => pick(event.currentTarget.files[0] ?? null)} /></label>`}
    <${Options} known=${data.options} format=${kept?.format ?? ""} />
    ${file ? html`<${Action} kind="primary" run=${run}>Read again<//>` : html`<p class="muted">No file is chosen yet.</p>`}
  </form>`;
}

/** Correlations are a job's work: of the last one that computed them, or of a new one. */
function Together({ data, turn }) {
  const found = useLoad(async (signal) => {
    const { items } = await get("jobs", { dataset_id: data.id, kind: "metrics", limit: 10 }, signal);
    const done = items.find((job) => job.status === "completed" && job.params.correlations !== false);
    const result = done ? await get(`jobs/${done.id}/result`, {}, signal) : null;
    return { waiting: items.find((job) => !job.finished_at), done, correlations: result?.report.correlations };
  }, [data.id, turn]);
  const compute = () => send("POST", "jobs", { kind: "metrics", dataset_id: data.id });
  return html`<section>
    <h2>Correlations</h2>
    <${Loaded} state=${found}>${({ waiting, done, correlations }) => {
      if (correlations) return html`<${Correlations} of=${correlations} /><p class="muted after">From <a href=${link("jobs", done.id)}>a metrics job</a>, which has more figures.</p>`;
      if (done) return html`<p class="muted">There are not two numeric columns to correlate.</p>`;
      if (waiting) return html`<p class="muted" role="status">A <a href=${link("jobs", waiting.id)}>metrics job</a> is at it…</p>`;
      return html`<p class="muted">A metrics job computes them.</p><${Action} run=${compute}>Compute<//><${Problem} error=${found.error} />`;
    }}<//>
  </section>`;
}
