// The queue and its workers: what waits, who works on what, and how it went lately.

import { get, send } from "./api.js";
import { count, duration, percent } from "./format.js";
import { html, useEffect, useMemo, useState } from "./html.js";
import { useStream } from "./live.js";
import { Action, Empty, LiveMark, Loaded, Problem, Scroll, Status, Time, Title, useLoad } from "./parts.js";
import { Plot } from "./plot.js";

const MINUTES = 60;
const KEPT = 600;

export function View() {
  const start = useLoad(async (signal) => {
    const [queue, workers, history] = await Promise.all([get("queue", {}, signal), get("workers", {}, signal), get("queue/history", { minutes: MINUTES }, signal)]);
    return { queue, workers, history: history.items, depths: [] };
  }, []);
  const [live, setLive] = useState("lost");
  const [now, set] = useState(null);
  useEffect(() => {
    if (start.data) set((was) => ({ ...start.data, depths: was?.depths ?? [] }));
  }, [start.data]);
  const put = (change) => set((was) => was && { ...was, ...change(was) });
  useStream("queue/events", {
    open: start.reload,
    queue: (queue) => put(() => ({ queue })),
    workers: (workers) => put(() => ({ workers })),
    history: ({ items }) => put((was) => ({ history: merged(was.history, items) })),
    state: setLive,
  });
  useEffect(() => {
    // The stream tells of changes alone; the plot has a point a second.
    const timer = setInterval(() => put((was) => ({ depths: [...was.depths, depthOf(was.queue)].slice(-KEPT) })), 1000);
    return () => clearInterval(timer);
  }, []);
  return html`
    <${Title} name="Queue">Queue <${LiveMark} state=${live} /><//>
    <${Loaded} state=${{ ...start, data: now ?? undefined }}>${(data) => html`
      <${Mill} data=${data} />
      <${Summary} data=${data} />
      <div class="pair">
        <${Throughput} history=${data.history} />
        <${Depth} depths=${data.depths} />
      </div>
      <h2>Kinds</h2>
      <${Kinds} queue=${data.queue} put=${(queue) => put(() => ({ queue }))} />
      <h2>Workers</h2>
      <${Workers} items=${data.workers.items} />
    `}<//>
  `;
}

function total(kinds, name) {
  return kinds.reduce((sum, kind) => sum + kind[name], 0);
}

function oldest(kinds) {
  return kinds.reduce((most, kind) => Math.max(most, kind.oldest_wait_s ?? 0), 0);
}

function depthOf({ kinds }) {
  return { at: Date.now() / 1000, due: total(kinds, "due"), running: total(kinds, "running"), oldest: oldest(kinds) };
}

/** The minutes told last take the places of what was known of them. */
function merged(known, items) {
  if (items.length === 0) return known;
  const first = items[0].at;
  return [...known.filter((one) => one.at < first), ...items];
}

// Due jobs that nobody takes for so long, with workers there, are worth a look.
const STUCK_S = 10;
const LATELY = 5;

/** Whether the mill turns, in a word and a sentence. */
function mill({ queue, workers, history }) {
  const due = total(queue.kinds, "due");
  const running = total(queue.kinds, "running");
  const wait = oldest(queue.kinds);
  const since = Date.now() - LATELY * 60000;
  const lately = total(history.filter((one) => Date.parse(one.at) >= since), "completed");
  const waiting = due > 0 ? `${count(due)} wait, the oldest for ${duration(wait)}` : "nothing waits";
  const told = `${count(running)} run, ${waiting}, ${count(lately)} completed in the last ${LATELY} minutes`;
  if (workers.items.length === 0) return { state: "stopped", told };
  if (queue.paused) return { state: "paused", told: `Nothing new is begun: ${told}` };
  if (running > 0) return { state: "turning", told };
  if (due === 0) return { state: "idle", told };
  const held = queue.kinds.filter((kind) => kind.due > 0).every((kind) => kind.paused);
  if (held) return { state: "paused", told: `Every kind that waits is paused: ${told}` };
  return { state: wait > STUCK_S ? "stuck" : "turning", told };
}

function Mill({ data }) {
  const { state, told } = mill(data);
  return html`<p class="panel mill ${state}"><b class="status ${state}" role="status"><i aria-hidden="true"></i>${state}</b> <span>${told}.</span></p>`;
}

function Summary({ data }) {
  const { kinds, paused } = data.queue;
  const slots = data.workers.items.reduce((sum, worker) => sum + worker.slots, 0);
  const ended = { completed: total(data.history, "completed"), failed: total(data.history, "failed") };
  const cells = [
    ["wait", count(total(kinds, "due")), `${count(total(kinds, "delayed"))} later, ${count(total(kinds, "blocked"))} for other work`],
    ["oldest wait", oldest(kinds) > 0 ? duration(oldest(kinds)) : "–", paused ? "all is paused" : ""],
    ["run", count(total(kinds, "running")), `of ${count(slots)} slot${slots === 1 ? "" : "s"}, ${count(data.workers.items.length)} worker${data.workers.items.length === 1 ? "" : "s"}`],
    ["completed in the last hour", count(ended.completed), html`<span class=${ended.failed > 0 ? "failing" : ""}>${count(ended.failed)} failed (${percent(ended.failed, ended.completed + ended.failed)})</span>`],
  ];
  return html`
    <dl class="tiles">${cells.map(([name, value, more]) => html`<div class="panel"><dt>${name}</dt><dd>${value}<small>${more}</small></dd></div>`)}</dl>
    ${data.workers.items.length === 0 && html`<${Problem} error=${{ title: "No worker is there", message: "Jobs wait until one starts: gristmill worker." }} />`}
  `;
}

/** Sums by minute over all kinds, with a zero for the minutes in which nothing became final. */
function byMinute(history) {
  const last = Math.floor(Date.now() / 60000) * 60;
  const times = Array.from({ length: MINUTES }, (_, place) => last - (MINUTES - 1 - place) * 60);
  const sums = new Map(times.map((at) => [at, { completed: 0, failed: 0 }]));
  for (const one of history) {
    const sum = sums.get(Date.parse(one.at) / 1000);
    if (!sum) continue;
    sum.completed += one.completed;
    sum.failed += one.failed;
  }
  const all = times.map((at) => sums.get(at));
  return [times, all.map((one) => one.completed), all.map((one) => one.failed), all.map((one) => (one.completed + one.failed ? (100 * one.failed) / (one.completed + one.failed) : null))];
}

function Throughput({ history }) {
  const minute = Math.floor(Date.now() / 60000);
  const data = useMemo(() => byMinute(history), [history, minute]);
  const ended = data[1].reduce((a, b) => a + b, 0);
  return html`<section class="panel" aria-label="Throughput">
    <h2>By minute, the last hour</h2>
    <${Plot} data=${data} options=${throughput} height=${200} label=${`Jobs that became final by minute: ${count(ended)} completed in the last hour`}>
      <span class="key done">completed</span><span class="key flagged">failed</span><span class="key bound">failed, % (right)</span>
    <//>
  </section>`;
}

// At least a minute wide, so that the first seconds are no ticks of tenths.
const recent = (_, low, high) => [Math.min(low, high - 60), high];
const upward = (_, low, high) => [0, Math.max(5, high * 1.1)];

const hours = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const clock = (_, ticks) => ticks.map((tick) => hours.format(tick * 1000).replace(/:00$/, ""));

function throughput(colour) {
  return {
    legend: { show: false },
    cursor: { points: { show: false } },
    scales: { y: { range: upward }, "%": { range: [0, 100] } },
    axes: [{ values: clock }, { size: 46 }, { scale: "%", side: 1, size: 40, grid: { show: false } }],
    series: [
      {},
      { stroke: colour("done"), width: 1.5, fill: colour("done-soft"), points: { show: false } },
      { stroke: colour("flagged"), width: 1.5, points: { show: false } },
      { scale: "%", stroke: colour("bound"), dash: [4, 3], width: 1, points: { show: true, size: 3 } },
    ],
  };
}

function Depth({ depths }) {
  const data = useMemo(() => [depths.map((one) => one.at), depths.map((one) => one.due), depths.map((one) => one.running), depths.map((one) => one.oldest)], [depths]);
  const last = depths.at(-1);
  return html`<section class="panel" aria-label="Depth">
    <h2>Since you opened this page</h2>
    ${depths.length < 2
      ? html`<p class="awaited muted">Watching from now on.</p>`
      : html`<${Plot} data=${data} options=${depth} height=${200} label=${`${count(last.due)} jobs wait, ${count(last.running)} run`}>
        <span class="key plain">wait</span><span class="key done">run</span><span class="key bound">oldest wait, s (right)</span>
      <//>`}
  </section>`;
}

function depth(colour) {
  return {
    legend: { show: false },
    cursor: { points: { show: false } },
    scales: { x: { range: recent }, y: { range: upward }, s: { range: upward } },
    axes: [{ values: clock }, { size: 46 }, { scale: "s", side: 1, size: 46, grid: { show: false } }],
    series: [
      {},
      { stroke: colour("plain"), width: 1.5, points: { show: false } },
      { stroke: colour("done"), width: 1.5, points: { show: false } },
      { scale: "s", stroke: colour("bound"), dash: [4, 3], width: 1, points: { show: false } },
    ],
  };
}

function Kinds({ queue, put }) {
  const act = (what, kind) => async () => put(await send("POST", `queue/${what}${kind ? `?kind=${encodeURIComponent(kind)}` : ""}`));
  return html`
    <p class="buttons">${queue.paused
      ? html`<${Status} of="paused" /><${Action} run=${act("resume")}>Resume all<//>`
      : html`<${Action} run=${act("pause")} sure="Yes, pause all">Pause all<//>`}
      <small class="muted">Needs the scope admin. What runs, runs on.</small></p>
    ${queue.kinds.length === 0
      ? html`<${Empty}>Nothing waits and nothing runs.<//>`
      : html`<${Scroll} label="Kinds">
        <table>
          <thead><tr><th scope="col">Kind</th><th scope="col" class="number">Wait</th><th scope="col" class="number">Oldest</th><th scope="col" class="number">Later</th><th scope="col" class="number">Blocked</th><th scope="col" class="number">Run</th><th scope="col">Claims</th></tr></thead>
          <tbody>
            ${queue.kinds.map((one) => html`<tr key=${one.kind}>
              <th scope="row">${one.kind}</th>
              <td class="number">${count(one.due)}</td>
              <td class="number">${one.oldest_wait_s === null ? "–" : duration(one.oldest_wait_s)}</td>
              <td class="number">${count(one.delayed)}</td>
              <td class="number">${count(one.blocked)}</td>
              <td class="number">${count(one.running)}</td>
              <td>${one.paused
                ? html`<${Status} of="paused" /> <${Action} run=${act("resume", one.kind)} label=${`Resume ${one.kind}`}>Resume<//>`
                : html`<${Action} run=${act("pause", one.kind)} label=${`Pause ${one.kind}`}>Pause<//>`}</td>
            </tr>`)}
          </tbody>
        </table>
      <//>`}
  `;
}

function Workers({ items }) {
  if (items.length === 0) return html`<${Empty}>None was heard of lately.<//>`;
  return html`<${Scroll} label="Workers">
    <table>
      <thead><tr><th scope="col">Worker</th><th scope="col" class="number">Slots</th><th scope="col">Runs</th><th scope="col">Started</th><th scope="col">Heard of</th><th scope="col">Version</th></tr></thead>
      <tbody>
        ${items.map((worker) => html`<tr key=${worker.id}>
          <th scope="row">${worker.host} <small class="muted">process ${worker.pid}</small></th>
          <td class="number">${count(worker.running)} of ${count(worker.slots)}</td>
          <td>${worker.runs.length === 0 ? html`<span class="muted">idle</span>` : html`<ul class="plain">${worker.runs.map((job) => html`<li>${job.kind} <small class="muted">since <${Time} at=${job.started_at} />${job.attempt > 1 ? `, attempt ${job.attempt}` : ""}</small></li>`)}</ul>`}</td>
          <td><${Time} at=${worker.started_at} /></td>
          <td><${Time} at=${worker.heartbeat_at} /></td>
          <td>${worker.version}</td>
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}
