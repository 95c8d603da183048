// Files on their way in: dropped or picked, sent one after the other, each with its progress in bytes.

import { upload } from "./api.js";
import { bytes, duration, percent } from "./format.js";
import { html, useRef, useState } from "./html.js";
import { Bar, Problem } from "./parts.js";
import { go, link } from "./router.js";

const FORMATS = ["csv", "tsv", "ndjson", "json", "parquet", "arrow", "xlsx"];
const ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "latin-1", "windows-1252", "windows-1250", "windows-1251", "iso-8859-2", "iso-8859-15", "koi8-r", "mac-roman", "shift-jis", "euc-jp", "euc-kr", "gb18030", "big5"];
const DELIMITERS = { ",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space" };

// What was sent from this page, so that it can be read again with other options.
const sent = new Map();

/** The file that a dataset was made of, and the options it was read with, if it was sent from this page. */
export function sentFile(datasetId) {
  return sent.get(datasetId);
}

/** Send one file; answers the dataset. `told(sent, total)` says how far it is. */
export async function sendFile(file, { options = {}, format = "", metrics = true, told = () => {}, signal = new AbortController().signal }) {
  const form = new FormData();
  form.append("name", file.name);
  if (format) form.append("format", format);
  if (Object.keys(options).length > 0) form.append("options", JSON.stringify(options));
  form.append("file", file);
  const dataset = await upload(metrics ? "datasets?job=metrics" : "datasets", form, told, signal);
  sent.set(dataset.id, { file, options, format });
  return dataset;
}

export function Upload() {
  const [over, setOver] = useState(false);
  const [files, set] = useState([]);
  const picker = useRef(null);
  const how = useRef(null);

  const change = (at, more) => set((was) => was.map((one) => (one.at === at ? { ...one, ...more } : one)));
  const sendAll = async (list) => {
    const { metrics, format, options } = readOptions(how.current);
    const began = files.length;
    const queued = [...list].map((file, place) => ({ at: began + place, file, stop: new AbortController() }));
    set((was) => [...was, ...queued]);
    let last = null;
    for (const one of queued) {
      if (one.stop.signal.aborted) continue;
      const start = performance.now();
      const told = (done, total) => change(one.at, { done, total, rate: done / Math.max(0.001, (performance.now() - start) / 1000) });
      try {
        last = await sendFile(one.file, { options, format, metrics, told, signal: one.stop.signal });
        change(one.at, { dataset: last });
      } catch (error) {
        change(one.at, { error });
      }
    }
    if (queued.length === 1 && last) go("datasets", last.id);
  };
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer.files.length > 0) sendAll(event.dataTransfer.files);
  };
  return html`<section class="upload" aria-label="Upload">
    <div class=${over ? "drop over" : "drop"} onDragOver=${(event) => {
      event.preventDefault();
      setOver(true);
    }} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <p><b>Drop files here</b> or${" "}
        <button type="button" class="primary" onClick=${() => picker.current.click()}>Choose files</button>
        <input ref=${picker} type="file" multiple hidden aria-label="Files to upload" onChange=${(event) => {
          sendAll(event.currentTarget.files);
          event.currentTarget.value = "";
        }} />
      </p>
      <p class="muted">CSV, TSV, NDJSON, JSON, Parquet, Arrow or Excel; plain, gzip or zstd</p>
      <form ref=${how} onSubmit=${(event) => event.preventDefault()}>
        <details><summary>How to read them</summary><${Options} /></details>
      </form>
    </div>
    ${files.length > 0 && html`<ul class="sending" aria-live="polite">${files.map((one) => html`<${Sending} key=${one.at} one=${one} />`)}</ul>`}
  </section>`;
}

function Sending({ one }) {
  return html`<li>
    <bdi>${one.file.name}</bdi>
    ${one.error
      ? html`<${Problem} error=${one.error} />`
      : one.dataset
        ? html`<a href=${link("datasets", one.dataset.id)}>stored, now being read</a>`
        : html`<${Bar} done=${one.done ?? 0} total=${one.total ?? one.file.size} label=${`Sending ${one.file.name}`} />
            <span class="muted">${one.done === undefined ? "waits" : `${bytes(one.done)} of ${bytes(one.total)} (${percent(one.done, one.total)}), ${bytes(Math.round(one.rate))}/s, about ${duration((one.total - one.done) / one.rate)} left`}</span>
            <button type="button" onClick=${() => one.stop.abort()}>Stop</button>`}
  </li>`;
}

function Choice({ name, label, of, value }) {
  return html`<label>${label}
    <select name=${name}>
      <option value="">as detected</option>
      ${Object.entries(of).map(([given, shown]) => html`<option value=${given} selected=${given === value}>${shown}</option>`)}
    </select>
  </label>`;
}

const same = (names) => Object.fromEntries(names.map((name) => [name, name]));

/** Fields for what the reading of a file can be told. `known`: what it was told before. */
export function Options({ known = {}, format = "" }) {
  return html`<div class="fields">
    <${Choice} name="format" label="Format" of=${same(FORMATS)} value=${format} />
    <${Choice} name="delimiter" label="Delimiter" of=${DELIMITERS} value=${known.delimiter ?? ""} />
    <${Choice} name="quote" label="Quote" of=${{ '"': 'double "', "'": "single '", none: "none" }} value=${known.quote === "" ? "none" : (known.quote ?? "")} />
    <${Choice} name="header" label="Header" of=${{ true: "first row is one", false: "there is none" }} value=${known.header === undefined ? "" : String(known.header)} />
    <${Choice} name="encoding" label="Encoding" of=${same(ENCODINGS)} value=${known.encoding ?? ""} />
    <${Choice} name="decimal" label="Decimal sign" of=${{ ".": "point 1.5", ",": "comma 1,5" }} value=${known.decimal ?? ""} />
    <${Choice} name="date_order" label="Dates such as 03/04" of=${{ "day-first": "day first", "month-first": "month first" }} value=${known.date_order ?? ""} />
    <${Choice} name="types" label="Types" of=${{ text: "all text" }} value=${known.types ?? ""} />
    <label>Lines to skip <input name="skip_lines" type="number" min="0" max="1000" defaultValue=${known.skip_lines ?? ""} placeholder="as detected" /></label>
    <label class="check"><input name="strict" type="checkbox" defaultChecked=${known.strict ?? false} /> Reject what would be repaired</label>
    <label class="check"><input name="metrics" type="checkbox" defaultChecked=${true} /> Compute metrics and correlations too</label>
  </div>`;
}

/** What the fields of `Options` say, as the API takes it. */
export function readOptions(form) {
  const given = new FormData(form);
  const options = {};
  for (const name of ["delimiter", "encoding", "decimal", "date_order", "types"]) {
    if (given.get(name)) options[name] = given.get(name);
  }
  if (given.get("quote")) options.quote = given.get("quote") === "none" ? "" : given.get("quote");
  if (given.get("header")) options.header = given.get("header") === "true";
  if (given.get("skip_lines")) options.skip_lines = Number(given.get("skip_lines"));
  if (given.get("strict")) options.strict = true;
  return { options, format: given.get("format"), metrics: given.get("metrics") !== null };
}
