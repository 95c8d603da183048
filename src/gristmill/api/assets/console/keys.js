// API keys, for an admin: made, rotated, revoked. What is sent as a key is shown once, to who made it, and kept nowhere.

import { get, send, setKey } from "./api.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Action, Empty, Loaded, Pager, Problem, Scroll, Status, Time, Title, useLoad } from "./parts.js";
import { go } from "./router.js";

const PAGE = 25;
const STATUSES = ["active", "expired", "revoked", "all"];
const SCOPES = { read: "looks", write: "submits and removes", admin: "does both, limits, pauses, and keeps keys of all owners" };
const DAY_S = 86400;
const LIVES = { 7: "in a week", 30: "in 30 days", 90: "in 90 days", 365: "in a year" };
const OVERLAPS = { 0: "none: it ends at once", 3600: "an hour", [DAY_S]: "a day", [7 * DAY_S]: "a week", [30 * DAY_S]: "30 days" };
// The server wants so much for the key in use: a lost answer must not lock its admin out.
const LEAST_OWN_S = 3600;

export function View({ query }) {
  const [turn, again] = useState(0);
  const [made, show] = useState(null);
  const me = useLoad((signal) => get("whoami", {}, signal), [turn]);
  const told = (key) => {
    // Who makes the first key, or rotates the one in use, goes on with the new one.
    const own = me.data.key_id === null || key.replaces?.id === me.data.key_id;
    if (own) setKey(key.key);
    show({ ...key, own });
    again((was) => was + 1);
  };
  const { status = "active", owner = "" } = query;
  return html`
    <${Title} name="Keys" />
    ${made && html`<${Secret} key=${made.id} of=${made} onDone=${() => show(null)} />`}
    <${Loaded} state=${me}>${({ key_id: own }) => html`
      ${own === null ? html`<${First} />` : html`<${LastAdmin} key=${`last ${turn}`} />`}
      <${Make} key=${own === null ? "first" : "more"} first=${own === null} onMade=${told} />
      ${own !== null && html`<${List} key=${`${status} ${owner} ${turn}`} own=${own} status=${status} owner=${owner} onMade=${told} />`}
    `}<//>
  `;
}

// Before nobody is an admin any more, it is told for so long; as the server does.
const WARNED_S = 14 * DAY_S;
const PAGES = 20;

/** The key that is the last to be an admin's, among all that are active. */
async function lastAdmin(signal) {
  const admins = [];
  let cursor;
  for (let page = 0; page < PAGES; page += 1) {
    const { items, next } = await get("keys", { status: "active", limit: 200, cursor }, signal);
    admins.push(...items.filter((key) => key.scopes.includes("admin")));
    if (!next) break;
    cursor = next;
  }
  const end = (key) => (key.expires_at ? Date.parse(key.expires_at) : Infinity);
  return admins.reduce((last, key) => (last === null || end(key) > end(last) ? key : last), null);
}

function LastAdmin() {
  const { data: last } = useLoad(lastAdmin, []);
  if (!last?.expires_at) return null;
  const left = (Date.parse(last.expires_at) - Date.now()) / 1000;
  if (left > WARNED_S) return null;
  return html`<section class="panel warnings last" role="alert">
    <h2>In ${left < DAY_S ? "less than a day" : `${Math.floor(left / DAY_S)} days`} nobody is an admin any more</h2>
    <p>The last key with the scope admin, ${last.name ? html`<bdi>${last.name}</bdi> ` : ""}<span class="id">${last.id}</span>, expires <${Time} at=${last.expires_at} />. Make another one that is valid longer, or rotate it with a later expiry.</p>
  </section>`;
}

function First() {
  return html`<section class="panel warnings">
    <h2>There are no keys yet</h2>
    <p>Everybody on this machine may do everything. The first key ends that: from then on every request needs one. It must have the scope admin, and this tab goes on with it. What is here already belongs to the owner <code>local</code>.</p>
  </section>`;
}

function Secret({ of, onDone }) {
  const heading = useRef(null);
  const field = useRef(null);
  const [said, say] = useState("");
  useEffect(() => heading.current.focus(), []);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(of.key);
      say("Copied.");
    } catch {
      // Browsers let pages copy over TLS and on this machine alone; the older way needs a selection.
      field.current.select();
      say(document.execCommand("copy") ? "Copied." : "The browser does not let the page copy it: press Ctrl+C.");
    }
  };
  return html`<section class="panel secret" aria-labelledby="secret-title">
    <h2 id="secret-title" tabindex="-1" ref=${heading}>The new key of ${of.owner} is shown this once</h2>
    <p>Nobody can look it up later: copy it now, to where it is needed. ${of.own && "This tab uses it from now on."}</p>
    <p class="buttons">
      <input ref=${field} class="id" readonly aria-label="The new key" value=${of.key} spellcheck=${false} onFocus=${(event) => event.currentTarget.select()} />
      <button type="button" class="primary" onClick=${copy}>Copy</button>
      <button type="button" onClick=${onDone}>I have it</button>
      <span role="status">${said}</span>
    </p>
    ${of.replaces && html`<p class="muted">The old one, <span class="id">${of.replaces.id}</span>, ${of.replaces.status === "active" ? html`is valid until <${Time} at=${of.replaces.expires_at} />` : "is not valid any more"}.</p>`}
  </section>`;
}

/** A time so many days from now, as the server takes it; nothing for never. */
function expiry(days) {
  return days ? new Date(Date.now() + Number(days) * DAY_S * 1000).toISOString() : null;
}

function Expires({ children }) {
  return html`<label>Expires
    <select name="days">${children}${Object.entries(LIVES).map(([days, title]) => html`<option value=${days}>${title}</option>`)}</select>
  </label>`;
}

function Make({ first, onMade }) {
  const [state, set] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    const given = new FormData(form);
    set({ busy: true });
    try {
      const body = { owner: given.get("owner").trim(), name: given.get("name").trim(), scopes: given.getAll("scope"), expires_at: expiry(given.get("days")) };
      const made = await send("POST", "keys", body);
      form.reset();
      set({});
      onMade(made);
    } catch (error) {
      set({ error });
    }
  };
  return html`<details class="panel" open=${first}>
    <summary>Make a key</summary>
    <form onSubmit=${submit}>
      <div class="fields">
        <label>Owner, whose data it reaches <input name="owner" required maxlength="200" autocomplete="off" defaultValue=${first ? "local" : ""} /></label>
        <label>Name, what it is for <input name="name" maxlength="200" autocomplete="off" /></label>
        <${Expires}><option value="">never</option><//>
      </div>
      <fieldset class="field scopes">
        <legend>Scopes</legend>
        ${Object.entries(SCOPES).map(([scope, title]) => html`<label class="check"><input type="checkbox" name="scope" value=${scope} defaultChecked=${first || scope !== "admin"} /><span><b>${scope}</b> ${title}</span></label>`)}
      </fieldset>
      <p class="buttons"><button class="primary" disabled=${state.busy}>Make it</button></p>
      <${Problem} error=${state.error} />
    </form>
  </details>`;
}

function List({ own, status, owner, onMade }) {
  const [cursors, move] = useState([]);
  const [rotating, rotate] = useState(null);
  const [said, say] = useState("");
  const line = useRef(null);
  const list = useLoad((signal) => get("keys", { limit: PAGE, status: status === "all" ? "" : status, owner, cursor: cursors.at(-1) }, signal), [cursors]);
  useEffect(() => {
    // The button that was pressed is gone with its row.
    if (said) line.current.focus();
  }, [said]);
  const revoke = (key) => async () => {
    await send("POST", `keys/${key.id}/revoke`);
    say(`${named(key)} is revoked.`);
    list.reload();
  };
  const filter = (event) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const chosen = given.get("status");
    go("keys", { status: chosen === "active" ? "" : chosen, owner: given.get("owner").trim() });
  };
  return html`
    <form class="filters" onSubmit=${filter} onChange=${(event) => event.currentTarget.requestSubmit()}>
      <label>Status
        <select name="status" value=${status}>${STATUSES.map((name) => html`<option value=${name}>${name}</option>`)}</select>
      </label>
      <label>Owner <input name="owner" maxlength="200" autocomplete="off" defaultValue=${owner} /></label>
      <button type="button" class="button" onClick=${list.reload}>Refresh</button>
      <span role="status" tabindex="-1" ref=${line}>${said}</span>
    </form>
    <${Loaded} state=${list}>${(page) => html`
      <${Problem} error=${list.error} />
      ${page.items.length === 0
        ? html`<${Empty}>${status === "all" && !owner ? "There are no keys." : "There is none like that."}<//>`
        : html`<${Table} items=${page.items} own=${own} onRotate=${rotate} onRevoke=${revoke} />`}
      <${Pager} cursors=${cursors} next=${page.next} onMove=${move} what="keys" />
    `}<//>
    ${rotating && html`<${Rotation} of=${rotating} own=${rotating.id === own} onMade=${onMade} onClose=${() => rotate(null)} />`}
  `;
}

function named(key) {
  return key.name || key.id;
}

function Table({ items, own, onRotate, onRevoke }) {
  return html`<${Scroll} label="Keys">
    <table>
      <thead>
        <tr><th scope="col">Key</th><th scope="col">Owner</th><th scope="col">Scopes</th><th scope="col">Status</th><th scope="col">Made</th><th scope="col">Expires</th><th scope="col">Last used</th><th scope="col">Change</th></tr>
      </thead>
      <tbody>
        ${items.map((key) => html`<tr key=${key.id}>
          <th scope="row" class="name">${key.name && html`<bdi>${key.name}</bdi>${" "}`}<span class="id">${key.id}</span></th>
          <td class="name"><bdi>${key.owner}</bdi></td>
          <td>${key.scopes.join(", ")}</td>
          <td><${Status} of=${key.status} />${key.replaced_by && html`<small class="muted"> rotated to <span class="id">${key.replaced_by}</span></small>`}${key.id === own && html`<small class="muted"> in use here</small>`}</td>
          <td><${Time} at=${key.created_at} /></td>
          <td>${key.expires_at ? html`<${Time} at=${key.expires_at} />` : "never"}</td>
          <td>${key.last_used_at ? html`<${Time} at=${key.last_used_at} />` : "never"}</td>
          <td><span class="buttons">
            ${key.status === "active" && !key.replaced_by && html`<button type="button" aria-label=${`Rotate ${named(key)}`} onClick=${() => onRotate(key)}>Rotate</button>`}
            ${key.status === "active" && key.id !== own && html`<${Action} run=${onRevoke(key)} kind="danger" label=${`Revoke ${named(key)}`} sure=${`Yes, revoke ${named(key)}`}>Revoke<//>`}
          </span></td>
        </tr>`)}
      </tbody>
    </table>
  <//>`;
}

function Rotation({ of, own, onMade, onClose }) {
  const dialog = useRef(null);
  const [state, set] = useState({});
  useEffect(() => dialog.current.showModal(), []);
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const days = given.get("days");
    set({ busy: true });
    try {
      const body = { overlap_s: Number(given.get("overlap")), ...(days === "same" ? {} : { expires_at: expiry(days) }) };
      onMade(await send("POST", `keys/${of.id}/rotate`, body));
    } catch (error) {
      set({ error });
    }
  };
  const overlaps = Object.entries(OVERLAPS).filter(([seconds]) => !own || Number(seconds) >= LEAST_OWN_S);
  return html`<dialog ref=${dialog} aria-labelledby="rotation-title" onClose=${onClose}>
    <form onSubmit=${submit}>
      <h2 id="rotation-title">Rotate ${named(of)}</h2>
      <p>A new key with the same owner, name and scopes takes over. ${own && "It is the key in use: this tab goes on with the new one."}</p>
      <label>The old one stays valid for
        <select name="overlap">${overlaps.map(([seconds, title]) => html`<option value=${seconds} selected=${Number(seconds) === DAY_S}>${title}</option>`)}</select>
      </label>
      <${Expires}><option value="same">as the old one would have</option><option value="">never</option><//>
      <p class="buttons">
        <button class="primary" disabled=${state.busy}>Rotate it</button>
        <button type="button" onClick=${() => dialog.current.close()}>Close</button>
      </p>
      <${Problem} error=${state.error} />
    </form>
  </dialog>`;
}
