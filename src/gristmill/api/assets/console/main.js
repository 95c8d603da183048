// The frame: where to go, the theme, the key, and the view that the address names.

import { get, key, onKeyNeeded, setKey } from "./api.js";
import { html, render, useEffect, useRef, useState } from "./html.js";
import { Loading, Problem } from "./parts.js";
import { useRoute } from "./router.js";

const VIEWS = {
  datasets: ["Datasets", () => import("./datasets.js")],
  jobs: ["Jobs", () => import("./jobs.js")],
  processors: ["New job", () => import("./processors.js")],
  queue: ["Queue", () => import("./queue.js")],
  keys: ["Keys", () => import("./keys.js")],
};
const DETAILS = { datasets: () => import("./dataset.js"), jobs: () => import("./job.js") };
const THEMES = { "": "System", light: "Light", dark: "Dark" };

function useView(name, detailed) {
  const [view, set] = useState({});
  useEffect(() => {
    let here = true;
    const load = detailed && DETAILS[name] ? DETAILS[name] : VIEWS[name][1];
    load().then(
      (module) => here && set({ name, detailed, View: module.View }),
      () => here && set({ error: { title: "This part of the console is not there", detail: "The server may have been updated: load the page again." } }),
    );
    return () => {
      here = false;
    };
  }, [name, detailed]);
  return view.error || (view.name === name && view.detailed === detailed) ? view : {};
}

/** Whether the key that is used, or nobody having one, lets us do what an admin may. Asked again with another key. */
function useAdmin() {
  const [admin, set] = useState(false);
  useEffect(() => {
    let asked = 0;
    const ask = async () => {
      const now = (asked += 1);
      // Who may not even look is no admin; what is wrong, the view says.
      const { scopes } = await get("whoami").catch(() => ({ scopes: [] }));
      if (now === asked) set(scopes.includes("admin"));
    };
    ask();
    window.addEventListener("keychange", ask);
    return () => {
      asked = -1;
      window.removeEventListener("keychange", ask);
    };
  }, []);
  return admin;
}

function App() {
  const route = useRoute();
  const name = route.parts[0] in VIEWS ? route.parts[0] : "datasets";
  const detailed = route.parts.length > 1;
  const view = useView(name, detailed);
  const [entered, enter] = useState(0);
  const admin = useAdmin();
  const shown = Object.entries(VIEWS).filter(([to]) => to !== "keys" || admin);
  return html`
    <a class="skip" href="#main" onClick=${toMain}>To the content</a>
    <header>
      <a class="brand" href="#/datasets"><img src="assets/icon.svg" alt="" width="22" height="22" />Gristmill</a>
      <nav aria-label="Main">
        ${shown.map(([to, [title]]) => html`<a href=${`#/${to}`} aria-current=${to === name ? "page" : undefined}>${title}</a>`)}
      </nav>
      <div class="tools">
        <a href="docs">API</a>
        <${Theme} />
        <${Key} onEntered=${() => enter((was) => was + 1)} />
      </div>
    </header>
    <main id="main" tabindex="-1">
      ${view.error && html`<${Problem} error=${view.error} />`}
      ${view.View ? html`<${view.View} key=${`${route.parts.slice(0, 2).join("/")} ${entered}`} parts=${route.parts.slice(1)} query=${route.query} />` : view.error ? null : html`<${Loading} />`}
    </main>
  `;
}

function toMain(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function Theme() {
  const [chosen, choose] = useState(localStorage.getItem("gristmill.theme") ?? "");
  const take = (event) => {
    const theme = event.currentTarget.value;
    choose(theme);
    localStorage.setItem("gristmill.theme", theme);
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    window.dispatchEvent(new Event("themechange"));
  };
  return html`<select aria-label="Theme" value=${chosen} onChange=${take}>
    ${Object.entries(THEMES).map(([value, title]) => html`<option value=${value}>${title}</option>`)}
  </select>`;
}

function Key({ onEntered }) {
  const dialog = useRef(null);
  const [there, set] = useState(key() !== "");
  const [needed, need] = useState(false);
  useEffect(() => {
    const changed = () => set(key() !== "");
    window.addEventListener("keychange", changed);
    return () => window.removeEventListener("keychange", changed);
  }, []);
  useEffect(
    () =>
      onKeyNeeded(() => {
        need(true);
        if (!dialog.current.open) dialog.current.showModal();
      }),
    [],
  );
  const keep = (value) => {
    setKey(value);
    need(false);
    dialog.current.close();
    onEntered();
  };
  const submit = (event) => {
    event.preventDefault();
    keep(new FormData(event.currentTarget).get("key").trim());
    event.currentTarget.reset();
  };
  return html`
    <button type="button" onClick=${() => dialog.current.showModal()}>${there ? "Key ✓" : "Key"}</button>
    <dialog ref=${dialog} aria-labelledby="key-title">
      <form onSubmit=${submit}>
        <h2 id="key-title">API key</h2>
        <p>${needed ? (there ? "The server does not take the key that is kept here." : "The server wants a key.") : "Needed where the server has API keys."} It is kept in this tab, until you close it.</p>
        <label>Key <input name="key" type="password" autocomplete="off" required pattern="gm_.+" placeholder="gm_…" title="It begins with gm_" /></label>
        <p class="buttons">
          <button class="primary">Use it</button>
          ${there && html`<button type="button" onClick=${() => keep("")}>Forget it</button>`}
          <button type="button" onClick=${() => dialog.current.close()}>Close</button>
        </p>
      </form>
    </dialog>
  `;
}

render(html`<${App} />`, document.getElementById("app"));
