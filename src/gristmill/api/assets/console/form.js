// A form for the params of a kind, made of their JSON Schema.

import { html } from "./html.js";
import { inline } from "./parts.js";
import { begin, kindAt, kindsOf, nameOf } from "./schema.js";

// Params that name columns of the dataset.
const COLUMNS = /^(columns|by|subset)$/;
const COLUMN = /_column$/;

/**
 * `context`: the root schema, the dataset's columns (or none) and the faults by pointer. `onChange(value)`; undefined
 * is what was left open.
 */
export function Fields({ schema, value = {}, onChange, pointer, context }) {
  const required = new Set(schema.required ?? []);
  const shown = Object.entries(schema.properties ?? {}).filter(([name, own]) => !(name === "op" && kindsOf(own, context.root).kinds[0].enum?.length === 1));
  const fields = shown.map(([name, own]) => html`<${Field}
    key=${name}
    name=${name}
    schema=${own}
    value=${value[name]}
    required=${required.has(name)}
    onChange=${(now) => onChange({ ...value, [name]: now })}
    pointer=${`${pointer}/${name}`}
    context=${context}
  />`);
  return html`<div class="set">${fields}</div>`;
}

function Field({ name, schema, value, required, onChange, pointer, context }) {
  const { kinds } = kindsOf(schema, context.root);
  const place = value === undefined || value === null ? -1 : kindAt(value, kinds, context.root);
  const kind = kinds[Math.max(place, 0)];
  const id = `field${pointer.replaceAll("/", "-")}`;
  const about = schema.description ?? (place >= 0 || kinds.length === 1 ? kind.description : null);
  const fault = context.faults.find((one) => one.pointer === `/params${pointer}`);
  const plain = kinds.length === 1 && !["object", "array"].includes(kind.type);
  const props = { id, name, kind, value, required, onChange, pointer, context, given: schema.default, told: about || fault };
  const labelled = html`<span class="name">${name.replaceAll("_", " ")}</span>${required ? html` <small>needed</small>` : null}`;
  const after = html`
    ${about && html`<small class="about" id=${`${id}-about`}>${inline(about)}</small>`}
    ${fault && html`<small class="fault" id=${`${id}-fault`}>${fault.detail}</small>`}
  `;
  if (plain) return html`<div class="field"><label for=${id}>${labelled}</label><${Plain} ...${props} />${after}</div>`;
  const wide = place >= 0 && ["object", "array"].includes(kind.type);
  return html`<fieldset class=${wide ? "field block" : "field"} id=${id}>
    <legend>${labelled}</legend>
    <${Choose} kinds=${kinds} place=${place} required=${required} onChange=${onChange} name=${name} context=${context} />
    ${place >= 0 && html`<${Inner} ...${props} />`}
    ${after}
  </fieldset>`;
}

/** Which kind of value it is to be, or none. */
function Choose({ kinds, place, required, onChange, name, context }) {
  if (required && kinds.length === 1) return null;
  const take = (event) => {
    const at = Number(event.currentTarget.value);
    onChange(at < 0 ? undefined : (begin(kinds[at], context.root) ?? blank(kinds[at])));
  };
  return html`<select aria-label=${`${name}: what it is`} value=${place} onChange=${take}>
    ${!required && html`<option value="-1">default</option>`}
    ${kinds.map((kind, at) => html`<option value=${at}>${COLUMNS.test(name) && kind.type === "array" ? "these columns" : nameOf(kind)}</option>`)}
  </select>`;
}

function blank(kind) {
  return { string: "", number: 0, integer: kind.minimum ?? 0, boolean: false }[kind.type] ?? {};
}

function Inner(props) {
  const { kind, value, onChange, pointer, context, name } = props;
  if (kind.type === "object") return html`<div class="inner"><${Fields} schema=${kind} value=${value} onChange=${onChange} pointer=${pointer} context=${context} /></div>`;
  if (kind.prefixItems) return html`<${Tuple} ...${props} />`;
  if (kind.type === "array" && COLUMNS.test(name) && context.columns) return html`<${ColumnPicker} ...${props} />`;
  if (kind.type === "array" && kind.items?.type === "string") return html`<${Texts} ...${props} />`;
  if (kind.type === "array") return html`<${Items} ...${props} />`;
  return html`<${Plain} ...${props} label=${name} />`;
}

function described({ id, told, context, pointer }) {
  const fault = context.faults.some((one) => one.pointer === `/params${pointer}`);
  return { "aria-describedby": told ? `${id}-about ${id}-fault` : undefined, "aria-invalid": fault ? "true" : undefined };
}

function Plain(props) {
  const { id, kind, name, value, required, onChange, given, label, context } = props;
  const common = { id: label ? undefined : id, "aria-label": label, ...described(props) };
  const fallback = given === undefined || given === null ? "" : String(given);
  if (kind.enum) {
    return html`<select ...${common} value=${value ?? ""} onChange=${(event) => onChange(event.currentTarget.value || undefined)}>
      ${!required && html`<option value="">${fallback ? `default: ${fallback}` : "default"}</option>`}
      ${kind.enum.map((one) => html`<option value=${one}>${one}</option>`)}
    </select>`;
  }
  if (kind.type === "boolean") {
    return html`<select ...${common} value=${value === undefined ? "" : String(value)} onChange=${(event) => onChange(event.currentTarget.value === "" ? undefined : event.currentTarget.value === "true")}>
      ${!required && html`<option value="">${`default: ${given ? "yes" : "no"}`}</option>`}
      <option value="true">yes</option>
      <option value="false">no</option>
    </select>`;
  }
  if (kind.type === "number" || kind.type === "integer") {
    return html`<input ...${common} type="number" step=${kind.type === "integer" ? 1 : "any"} min=${kind.minimum} max=${kind.maximum} placeholder=${fallback} value=${value ?? ""}
      onInput=${(event) => onChange(event.currentTarget.value === "" ? undefined : event.currentTarget.valueAsNumber)} />`;
  }
  if (kind.type === "string" && COLUMN.test(name) && context.columns) {
    return html`<select ...${common} value=${value ?? ""} onChange=${(event) => onChange(event.currentTarget.value || undefined)}>
      <option value="">none</option>
      ${context.columns.map((column) => html`<option value=${column.name}>${column.name}</option>`)}
    </select>`;
  }
  return html`<input ...${common} type="text" spellcheck="false" maxlength=${kind.maxLength} placeholder=${fallback} value=${value ?? ""}
    onInput=${(event) => onChange(event.currentTarget.value === "" && !required && !label ? undefined : event.currentTarget.value)} />`;
}

function ColumnPicker({ value, onChange, context, name }) {
  const chosen = new Set(value);
  const toggle = (column) => onChange(chosen.has(column) ? value.filter((one) => one !== column) : [...value, column]);
  return html`<div class="picker" role="group" aria-label=${`${name}: which`}>
    ${context.columns.map((column) => html`<label class="check">
      <input type="checkbox" checked=${chosen.has(column.name)} onChange=${() => toggle(column.name)} />
      <bdi>${column.name}</bdi> <small>${column.type}</small>
    </label>`)}
  </div>`;
}

/** One text a line. */
function Texts({ id, value, onChange, name, ...more }) {
  return html`<textarea aria-label=${`${name}, one a line`} rows="3" spellcheck="false" ...${described({ id, ...more })} value=${value.join("\n")}
    onInput=${(event) => onChange(event.currentTarget.value === "" ? [] : event.currentTarget.value.split("\n"))}></textarea>`;
}

function Tuple({ kind, value, onChange, pointer, context, name }) {
  return html`<div class="tuple">${kind.prefixItems.map((one, place) => html`<${Plain}
    id=${`field${pointer.replaceAll("/", "-")}-${place}`}
    label=${`${name} ${place + 1}`}
    name=${name}
    kind=${one}
    value=${value[place]}
    onChange=${(now) => onChange(value.map((old, at) => (at === place ? now : old)))}
    pointer=${`${pointer}/${place}`}
    context=${context}
  />`)}</div>`;
}

function Items({ kind, value, onChange, pointer, context, name }) {
  const { kinds } = kindsOf(kind.items, context.root);
  const put = (place, now) => onChange(value.map((old, at) => (at === place ? now : old)));
  const move = (place, by) => {
    const moved = [...value];
    [moved[place], moved[place + by]] = [moved[place + by], moved[place]];
    onChange(moved);
  };
  const add = (event) => {
    const at = Number(event.currentTarget.value);
    event.currentTarget.value = "";
    if (kinds[at]) onChange([...value, begin(kinds[at], context.root)]);
  };
  return html`
    <ol class="items">${value.map((one, place) => {
      const own = kinds[kindAt(one, kinds, context.root)];
      return html`<li>
        <div class="bar-of">
          <b>${nameOf(own)}</b>
          <button type="button" disabled=${place === 0} aria-label=${`Move ${nameOf(own)} up`} onClick=${() => move(place, -1)}>↑</button>
          <button type="button" disabled=${place === value.length - 1} aria-label=${`Move ${nameOf(own)} down`} onClick=${() => move(place, 1)}>↓</button>
          <button type="button" aria-label=${`Remove ${nameOf(own)}`} onClick=${() => onChange(value.filter((_, at) => at !== place))}>✕</button>
        </div>
        <${Inner} id=${`field${pointer.replaceAll("/", "-")}-${place}`} kind=${own} name=${name} value=${one} onChange=${(now) => put(place, now)} pointer=${`${pointer}/${place}`} context=${context} />
      </li>`;
    })}</ol>
    <select aria-label=${`Add to ${name}`} onChange=${add}>
      <option value="">add…</option>
      ${kinds.map((one, at) => html`<option value=${at}>${nameOf(one)}</option>`)}
    </select>
  `;
}
