// Calls of the API. The key is kept for this tab alone, and only ever sent to where this page came from.

const ROOT = new URL("../../", import.meta.url);
const KEY = "gristmill.key";

const waiting = new Set();

export class ApiError extends Error {
  /** `problem` is as RFC 9457 has it. */
  constructor(problem, status) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.title = problem.title || "The request failed";
    this.errors = problem.errors || [];
    this.status = status;
  }
}

export function url(path) {
  return new URL(path.replace(/^\//, ""), ROOT);
}

export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Use another key from now on. Whoever listens to the window's `keychange` is told. */
export function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
  window.dispatchEvent(new Event("keychange"));
}

/** Call `listener` whenever the server wants a key that it has not got. Answers what ends it. */
export function onKeyNeeded(listener) {
  waiting.add(listener);
  return () => waiting.delete(listener);
}

export function headers(more = {}) {
  return key() ? { ...more, Authorization: `Bearer ${key()}` } : more;
}

export async function problemOf(status, text) {
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    problem = { title: "The answer can't be read" };
  }
  if (status === 401) for (const listener of waiting) listener();
  return new ApiError(problem, status);
}

/** Raises ApiError; also where nobody answers. */
export async function request(path, { method = "GET", body, accept, signal, more } = {}) {
  const sent = { ...(accept ? { Accept: accept } : {}), ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
  let answer;
  try {
    answer = await fetch(url(path), {
      method,
      signal,
      cache: "no-store",
      headers: headers({ ...sent, ...more }),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ title: "The server does not answer", detail: "Is it running, and is the network there?" }, 0);
  }
  if (!answer.ok) throw await problemOf(answer.status, await answer.text());
  return answer;
}

export async function get(path, query = {}, signal = undefined) {
  const answer = await request(path + search(query), { signal });
  return answer.json();
}

export async function send(method, path, body = undefined, more = {}) {
  const answer = await request(path, { method, body, more });
  return answer.status === 204 ? null : answer.json();
}

/** A query string; lists are told again and again, what is empty is left out. */
export function search(query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") given.append(name, one);
    }
  }
  const text = given.toString();
  return text ? `?${text}` : "";
}

/** Send a form, and say how far it is: `told(sent, total)`. `signal` stops it. */
export function upload(path, form, told, signal) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", url(path));
    for (const [name, value] of Object.entries(headers({ Accept: "application/json" }))) call.setRequestHeader(name, value);
    call.upload.onprogress = (event) => told(event.loaded, event.total);
    call.onload = async () => {
      if (call.status < 300) resolve(JSON.parse(call.responseText));
      else reject(await problemOf(call.status, call.responseText));
    };
    call.onerror = () => reject(new ApiError({ title: "The upload broke off", detail: "Nothing of it is kept." }, 0));
    call.onabort = () => reject(new ApiError({ title: "The upload was stopped", detail: "Nothing of it is kept." }, 0));
    signal.addEventListener("abort", () => call.abort());
    call.send(form);
  });
}
