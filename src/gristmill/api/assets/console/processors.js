// The kinds of jobs, and a form for a new job of one of them.

import { get, send } from "./api.js";
import { Fields } from "./form.js";
import { html, useRef, useState } from "./html.js";
import { Action, Empty, inline, Loaded, Problem, Title, useLoad } from "./parts.js";
import { go, link } from "./router.js";
import { faults, given } from "./schema.js";

export function View({ parts: [kind], query }) {
  const kinds = useLoad((signal) => get("processors", {}, signal), []);
  return html`
    <${Title} name="New job" />
    <${Loaded} state=${kinds}>${({ items }) => {
      const chosen = items.find((one) => one.kind === kind);
      return html`
        <nav class="tabs" aria-label="Kinds">${items.map((one) => html`<a href=${link("processors", one.kind, { dataset: query.dataset })} aria-current=${one === chosen ? "page" : undefined}>${one.kind}</a>`)}</nav>
        ${chosen ? html`<${Form} key=${chosen.kind} processor=${chosen} query=${query} />` : html`<${Kinds} items=${items} query=${query} />`}
      `;
    }}<//>
  `;
}

function Kinds({ items, query }) {
  return html`<ul class="cards">${items.map((one) => html`<li class="panel">
    <h2><a href=${link("processors", one.kind, { dataset: query.dataset })}>${one.kind}</a></h2>
    <p>${one.description.split("\n\n")[0]}</p>
  </li>`)}</ul>`;
}

/** What is given to begin with: the params of a job that this one is to be like, or the kind's example. */
async function start(processor, query, signal) {
  const [list, like] = await Promise.all([
    get("datasets", { limit: 100 }, signal),
    query.like ? get(`jobs/${query.like}`, {}, signal) : null,
  ]);
  const datasets = list.items.filter((one) => one.status !== "failed");
  if (query.dataset && !datasets.some((one) => one.id === query.dataset)) datasets.unshift(await get(`datasets/${query.dataset}`, {}, signal));
  const params = like?.kind === processor.kind ? unset(like.params, processor.params_schema) : processor.example;
  return { datasets, params };
}

/** Without the params that are at their defaults, which a job tells of too. */
function unset(params, schema) {
  const known = (name) => schema.properties[name]?.default;
  return Object.fromEntries(Object.entries(params).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(known(name))));
}

function Form({ processor, query }) {
  const ready = useLoad((signal) => start(processor, query, signal), [processor.kind]);
  return html`<${Loaded} state=${ready}>${({ datasets, params }) =>
    datasets.length === 0
      ? html`<${Empty}>There is no dataset to work on. <a href="#/datasets">Upload one</a> first.<//>`
      : html`<${Filled} processor=${processor} datasets=${datasets} begun=${params} query=${query} />`}<//>`;
}

function Filled({ processor, datasets, begun, query }) {
  const [datasetId, pick] = useState(query.dataset ?? datasets[0].id);
  const [params, set] = useState(begun);
  const [more, setMore] = useState({});
  const [checked, check] = useState({ faults: [] });
  const form = useRef(null);
  const dataset = useLoad((signal) => get(`datasets/${datasetId}`, {}, signal), [datasetId]);
  const root = processor.params_schema;
  const body = { kind: processor.kind, dataset_id: datasetId, params: given(params), ...given(more) };

  const look = async () => {
    const found = faults(given(params), root, root, "").map((one) => ({ ...one, pointer: `/params${one.pointer}` }));
    if (found.length > 0) {
      check({ faults: found, error: { title: "The params do not fit", message: "Nothing was submitted.", errors: found } });
      return false;
    }
    try {
      check({ faults: [], plan: await send("POST", "jobs?validate_only=true", body) });
      return true;
    } catch (error) {
      check({ faults: error.errors ?? [], error });
      return false;
    }
  };
  const submit = async () => {
    if (!(await look())) {
      requestAnimationFrame(() => form.current?.querySelector("[aria-invalid], .problem")?.focus());
      return;
    }
    const job = await send("POST", "jobs", body, { "Idempotency-Key": crypto.randomUUID() });
    go("jobs", job.id);
  };
  const [busy, setBusy] = useState(false);
  const onSubmit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await submit();
    } catch (error) {
      check({ faults: error.errors ?? [], error });
    } finally {
      setBusy(false);
    }
  };
  return html`<form class="job" ref=${form} onSubmit=${onSubmit} noValidate>
    <div class="side">
      <div class="panel">
        <div class="field">
          <label for="dataset">Dataset</label>
          <select id="dataset" value=${datasetId} onChange=${(event) => pick(event.currentTarget.value)}>
            ${datasets.map((one) => html`<option value=${one.id}>${one.name}${one.status === "ready" ? "" : ` (${one.status})`}</option>`)}
          </select>
        </div>
        <${Fields} schema=${root} value=${params} onChange=${set} pointer="" context=${{ root, columns: dataset.data?.columns, faults: checked.faults }} />
        <details><summary>How it runs</summary><${Run} value=${more} onChange=${setMore} /></details>
        <div class="buttons">
          <button class="primary" disabled=${busy}>Submit</button>
          <${Action} run=${look}>Check only<//>
        </div>
        <${Problem} error=${checked.error} />
        ${checked.plan && html`<${Plan} of=${checked.plan} />`}
      </div>
      <section class="panel prose" aria-label=${`About ${processor.kind}`}>
        <h2>About ${processor.kind}</h2>
        <${Prose} text=${processor.description} />
      </section>
    </div>
  </form>`;
}

const RUN = {
  properties: {
    priority: { type: "integer", minimum: -100, maximum: 100, default: 0, description: "Higher goes first." },
    max_attempts: { type: "integer", minimum: 1, maximum: 100, description: "How often it is tried, at most." },
    timeout_s: { type: "integer", minimum: 1, description: "Seconds an attempt may run." },
    reuse: { enum: ["any", "none"], default: "any", description: "any: an identical job's result is taken; none: the work is done again." },
  },
};

function Run({ value, onChange }) {
  return html`<${Fields} schema=${RUN} value=${value} onChange=${onChange} pointer="" context=${{ root: RUN, faults: [] }} />`;
}

function Plan({ of }) {
  return html`<div class="plan" role="status">
    <p><b>It fits.</b> ${of.reuses ? html`The result of <a href=${link("jobs", of.reuses)}>an identical job</a> would be taken.` : ""}</p>
    ${of.steps && html`<ol>${of.steps.map((step) => html`<li>${Object.values(step).filter((one) => typeof one === "string").join(" ")}${step.columns ? html`: <bdi>${step.columns.join(", ")}</bdi>` : ""}</li>`)}</ol>`}
    ${of.warnings.length > 0 && html`<ul class="warn">${of.warnings.map((text) => html`<li>${text}</li>`)}</ul>`}
  </div>`;
}

/** Paragraphs and lists of a docstring; `code` between its signs. */
function Prose({ text }) {
  return text.split(/\n\s*\n/).map((block) => {
    const lines = block.split(/\n(?=\s*- )/);
    if (lines.every((line) => /^\s*- /.test(line))) return html`<ul>${lines.map((line) => html`<li>${inline(line.replace(/^\s*- /, ""))}</li>`)}</ul>`;
    return html`<p>${inline(block)}</p>`;
  });
}
