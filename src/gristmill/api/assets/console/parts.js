// What all views are made of.

import { amount, between, bytes, count, duration, figure, moment, moments, percent } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";

/** What `load(signal)` answers, loaded anew when one of `needs` changes. */
export function useLoad(load, needs) {
  const [state, set] = useState({ loading: true });
  const [turn, again] = useState(0);
  useEffect(() => {
    const gone = new AbortController();
    const unless = (take) => (value) => gone.signal.aborted || take(value);
    load(gone.signal).then(
      unless((data) => set({ data, loading: false })),
      unless((error) => set((was) => ({ data: was.data, error, loading: false }))),
    );
    return () => gone.abort();
  }, [...needs, turn]);
  return { ...state, reload: () => again((was) => was + 1), set: (data) => set({ data, loading: false }) };
}

// The page itself begins at its top, with the way to skip to the content.
let first = true;

/** The title of a view: it is read aloud and takes the focus when the view comes after another one. */
export function Title({ children, name, kicker }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${name} · Gristmill`;
  }, [name]);
  useEffect(() => {
    if (first) first = false;
    else if (document.activeElement === document.body || document.activeElement?.closest("nav")) heading.current.focus();
  }, []);
  return html`<div class="title">
    ${kicker && html`<p class="kicker">${kicker}</p>`}
    <h1 tabindex="-1" ref=${heading}>${children ?? name}</h1>
  </div>`;
}

export function Status({ of }) {
  return html`<span class="status ${of}"><i aria-hidden="true"></i>${of}</span>`;
}

export function Time({ at }) {
  return at ? html`<time datetime=${at} title=${moments(at)}>${moment(at)}</time>` : "–";
}

/** An error that was raised here, or the problem of a job or dataset. */
export function Problem({ error }) {
  if (!error) return null;
  return html`<div class="problem" role="alert">
    <strong>${error.title ?? "It did not work"}</strong>
    <p>${error.detail ?? error.message}</p>
    ${error.errors?.length > 0 &&
    html`<ul>
      ${error.errors.map((fault) => html`<li><code>${fault.pointer}</code> ${fault.detail}</li>`)}
    </ul>`}
  </div>`;
}

export function Loading() {
  return html`<p class="muted" role="status">Loading…</p>`;
}

/** Either its error, or that it loads, or what `children` makes of the data. */
export function Loaded({ state, children }) {
  if (state.error && state.data === undefined) return html`<${Problem} error=${state.error} />`;
  return state.data === undefined ? html`<${Loading} />` : children(state.data);
}

export function Empty({ children }) {
  return html`<div class="empty">${children}</div>`;
}

export function Facts({ of }) {
  const shown = of.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return html`<dl class="facts">
    ${shown.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** What a figure is where it is not exact: approximate, with its error, or sampled, of how many. */
export function Label({ of, what }) {
  const name = typeof of === "string" ? of : (of?.label ?? of?.accuracy);
  if (!name || name === "exact") return null;
  const { n, label, accuracy, ...errors } = typeof of === "string" ? {} : of;
  const more = [...(n === undefined ? [] : [`from ${count(n)}`]), ...Object.entries(errors).map(([key, value]) => `${key.replaceAll("_", " ")} ${figure(value)}`)];
  return html`<small class="label">${what ? `${what}: ` : ""}${name}${more.length > 0 ? ` (${more.join(", ")})` : ""}</small>`;
}

/** A table that scrolls by itself, by keyboard too, so that the page does not. */
export function Scroll({ label, children }) {
  return html`<div class="scroll" role="region" aria-label=${label} tabindex="0">${children}</div>`;
}

export function Bar({ done, total, label }) {
  const share = total ? Math.min(1, done / total) : null;
  return html`<progress class="bar" aria-label=${label} max="1" value=${share ?? undefined}></progress>`;
}

/** How far a job is, how fast, and how long it will take. The speed is that of the last seconds seen here. */
export function Progress({ of, label = "Progress" }) {
  const seen = useRef([]);
  if (!of) return null;
  const now = performance.now() / 1000;
  const kept = seen.current;
  const latest = kept.at(-1);
  if (latest && (latest.stage !== of.stage || latest.done > of.done)) kept.length = 0;
  if (!kept.length || kept.at(-1).done !== of.done) kept.push({ at: now, done: of.done, stage: of.stage });
  while (kept.length > 2 && now - kept[0].at > 5) kept.shift();
  const [first, last] = [kept[0], kept.at(-1)];
  const rate = last.at > first.at ? (last.done - first.done) / (last.at - first.at) : null;
  const left = of.seconds_left ?? (rate && of.total ? (of.total - of.done) / rate : null);
  return html`<div class="progress">
    <${Bar} done=${of.done} total=${of.total} label=${label} />
    <p>
      <b>${of.stage}</b>
      <span>${amount(of.done, of.unit)}${of.total ? ` of ${of.unit === "bytes" ? bytes(of.total) : count(of.total)} (${percent(of.done, of.total)})` : ""}</span>
      ${rate ? html`<span>${amount(Math.round(rate), of.unit)}/s</span>` : null}
      ${left !== null && html`<span>about ${duration(left)} left</span>`}
    </p>
  </div>`;
}

/** A button that does something that takes a while; its error is shown beside it. */
export function Action({ run, children, kind = "", label, sure }) {
  const [state, set] = useState({ busy: false, asked: false });
  const press = async () => {
    if (sure && !state.asked) return set({ busy: false, asked: true });
    set({ busy: true, asked: false });
    try {
      await run();
      return set({ busy: false, asked: false });
    } catch (error) {
      return set({ busy: false, asked: false, error });
    }
  };
  return html`<span class="action">
    <button type="button" class=${state.asked ? "danger" : kind} disabled=${state.busy} aria-label=${state.asked ? undefined : label} onClick=${press}>
      ${state.asked ? sure : children}
    </button>
    ${state.asked && html`<button type="button" onClick=${() => set({ busy: false, asked: false })}>No</button>`}
    ${state.error && html`<${Problem} error=${state.error} />`}
  </span>`;
}

/** Leads to the next page and back. `cursors` are those of the pages before. */
export function Pager({ cursors, next, onMove, what }) {
  if (!next && cursors.length === 0) return null;
  return html`<nav class="pager" aria-label=${`Pages of ${what}`}>
    <button type="button" disabled=${cursors.length === 0} onClick=${() => onMove(cursors.slice(0, -1))}>← Back</button>
    <span>Page ${cursors.length + 1}</span>
    <button type="button" disabled=${!next} onClick=${() => onMove([...cursors, next])}>Next →</button>
  </nav>`;
}

export function Lasted({ job }) {
  return job.started_at ? between(job.started_at, job.finished_at ?? new Date().toISOString()) : "–";
}

/** Whether events come in; said in words, as a colour alone says nothing to some. */
export function LiveMark({ state }) {
  return html`<span class=${state === "lost" ? "live" : "live on"} role="status"><i aria-hidden="true"></i>${state === "lost" ? "connecting…" : "live"}</span>`;
}

/** Text with `code` between its signs. */
export function inline(text) {
  return text.split("`").map((part, place) => (place % 2 ? html`<code>${part}</code>` : part));
}
