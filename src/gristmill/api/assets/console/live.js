// Server-sent events, read with fetch: an EventSource can't send a key. Who is cut off comes back, and goes on.

import { headers, problemOf, url } from "./api.js";
import { useEffect, useRef } from "./html.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;

/**
 * Follow a stream. `on` has a function for each type of event, called with its data; `state` of it, if there is one, is
 * told "live", "lost" or "done". Answers what ends it.
 */
export function follow(path, on) {
  const gone = new AbortController();
  run(path, on, gone.signal).catch((error) => {
    if (!gone.signal.aborted) throw error;
  });
  return () => gone.abort();
}

async function run(path, on, signal) {
  let last = null;
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      const resumed = last === null ? {} : { "Last-Event-ID": last };
      const answer = await fetch(url(path), { signal, cache: "no-store", headers: headers({ Accept: "text/event-stream", ...resumed }) });
      if (answer.status === 204) return on.state?.("done");
      if (!answer.ok) {
        await problemOf(answer.status, await answer.text());
        if (answer.status < 500 && answer.status !== 429) return on.state?.("lost");
        throw new TypeError("not now");
      }
      on.state?.("live");
      for await (const event of events(answer.body)) {
        pause = FIRST_PAUSE_MS;
        if (event.id) last = event.id;
        if (event.data) on[event.type]?.(JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof TypeError)) throw error; // what fetch says when nobody answers, or the line breaks
      on.state?.("lost");
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(LONGEST_PAUSE_MS, pause * 2);
  }
  return undefined;
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const lines of whole) yield parsed(lines);
  }
}

function parsed(lines) {
  const event = { type: "message", id: null, data: "" };
  for (const line of lines.split("\n")) {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "event") event.type = value;
    else if (name === "id") event.id = value;
    else if (name === "data") event.data += value;
  }
  return event;
}

// All views share one stream of the jobs.
const listeners = new Set();
let end = null;
let state = "lost";

function tell(name, data) {
  for (const listener of [...listeners]) listener[name]?.(data);
}

/** Tell `listener.job(job)`, `.gone({id})`, `.open()` and `.state(…)` what happens to jobs. Answers what ends it. */
export function onJobs(listener) {
  listeners.add(listener);
  listener.state?.(state);
  const told = (now) => {
    state = now;
    tell("state", now);
  };
  end ??= follow("events", {
    open: () => tell("open"),
    job: (job) => tell("job", job),
    gone: (job) => tell("gone", job),
    state: told,
  });
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    end();
    end = null;
    state = "lost";
  };
}

/** `onJobs` for as long as a component is there. Its functions may be others each time. */
export function useJobs(listener) {
  const now = useRef(listener);
  now.current = listener;
  useEffect(
    () =>
      onJobs({
        open: () => now.current.open?.(),
        job: (job) => now.current.job?.(job),
        gone: (job) => now.current.gone?.(job),
        state: (told) => now.current.state?.(told),
      }),
    [],
  );
}

/** Follow a stream for as long as a component is there. A null path: none. */
export function useStream(path, on) {
  const now = useRef(on);
  now.current = on;
  useEffect(() => {
    if (path === null) return undefined;
    const names = Object.keys(on);
    return follow(path, Object.fromEntries(names.map((name) => [name, (data) => now.current[name](data)])));
  }, [path]);
}
