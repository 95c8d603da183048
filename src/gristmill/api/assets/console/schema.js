// What a JSON Schema asks for, as far as the params of processors use it: without markup, so that it reads alone.

/** The schema with its reference followed; what stands beside the reference goes before. */
export function resolved(schema, root) {
  if (!schema.$ref) return schema;
  const name = schema.$ref.replace("#/$defs/", "");
  const { $ref, ...beside } = schema;
  return { ...resolved(root.$defs[name], root), ...beside };
}

/** What a value may be, without null: `{kinds, nullable}`. */
export function kindsOf(schema, root) {
  const own = resolved(schema, root);
  if (!own.anyOf) return { kinds: [own], nullable: own.type === "null" };
  const all = own.anyOf.map((one) => resolved(one, root));
  return { kinds: all.filter((one) => one.type !== "null"), nullable: all.some((one) => one.type === "null") };
}

/** The words for a kind of value in a list of kinds. */
export function nameOf(kind) {
  const op = kind.properties?.op?.enum?.[0];
  if (op) return op;
  if (kind.title) return kind.title.toLowerCase();
  return { array: "list", integer: "whole number", string: "text", boolean: "yes or no" }[kind.type] ?? kind.type ?? "value";
}

/** A value to begin with. What has a default or may be null begins as undefined: it is not sent. */
export function begin(schema, root) {
  const kind = kindsOf(schema, root).kinds[0];
  if (!kind) return null;
  if (kind.enum) return kind.enum[0];
  if (kind.type === "object") {
    const required = kind.required ?? [];
    return Object.fromEntries(required.map((name) => [name, begin(kind.properties[name], root)]));
  }
  if (kind.prefixItems) return kind.prefixItems.map((one) => begin(one, root));
  if (kind.type === "array") {
    const one = begin(kind.items, root);
    return one === undefined ? [] : Array.from({ length: kind.minItems ?? 0 }, () => structuredClone(one));
  }
  if (kind.type === "boolean") return false;
  return undefined;
}

/** Which of the kinds a value is; the first where that can't be told. */
export function kindAt(value, kinds, root) {
  const fits = kinds.findIndex((kind) => looks(value, kind) && faults(value, kind, root, "").length === 0);
  if (fits >= 0) return fits;
  return Math.max(0, kinds.findIndex((kind) => looks(value, kind)));
}

function looks(value, kind) {
  if (Array.isArray(value)) return kind.type === "array";
  if (value !== null && typeof value === "object") {
    const op = kind.properties?.op?.enum;
    return kind.type === "object" && (!op || op.includes(value.op));
  }
  if (typeof value === "number") return kind.type === "number" || (kind.type === "integer" && Number.isInteger(value));
  if (kind.enum) return kind.enum.includes(value);
  return kind.type === typeof value;
}

/** What does not fit, as the API tells it: `[{pointer, detail}]`. */
export function faults(value, schema, root, pointer) {
  const { kinds, nullable } = kindsOf(schema, root);
  if (value === null && nullable) return [];
  if (kinds.length > 1) {
    const own = kinds.find((kind) => looks(value, kind));
    return own ? faults(value, own, root, pointer) : [{ pointer, detail: `It must be ${kinds.map(nameOf).join(" or ")}.` }];
  }
  const kind = kinds[0];
  if (value === undefined) return [{ pointer, detail: "It is needed." }];
  if (kind.type === "object") return objectFaults(value, kind, root, pointer);
  if (kind.type === "array") return arrayFaults(value, kind, root, pointer);
  const detail = plainFault(value, kind);
  return detail ? [{ pointer, detail }] : [];
}

function objectFaults(value, kind, root, pointer) {
  const required = new Set(kind.required ?? []);
  return Object.entries(kind.properties ?? {}).flatMap(([name, schema]) => {
    const own = value[name];
    return own === undefined && !required.has(name) ? [] : faults(own, schema, root, `${pointer}/${name}`);
  });
}

function arrayFaults(value, kind, root, pointer) {
  const least = kind.minItems ?? 0;
  if (value.length < least) return [{ pointer, detail: `It needs at least ${least}.` }];
  if (kind.maxItems !== undefined && value.length > kind.maxItems) return [{ pointer, detail: `It may have ${kind.maxItems} at most.` }];
  return value.flatMap((one, place) => faults(one, kind.prefixItems?.[place] ?? kind.items, root, `${pointer}/${place}`));
}

function plainFault(value, kind) {
  if (kind.enum) return kind.enum.includes(value) ? null : `It must be one of ${kind.enum.join(", ")}.`;
  if (kind.type === "integer" || kind.type === "number") return numberFault(value, kind);
  if (kind.type === "string") {
    if (typeof value !== "string") return "It must be text.";
    if (value.length < (kind.minLength ?? 0)) return `It needs at least ${kind.minLength} characters.`;
    if (kind.maxLength !== undefined && value.length > kind.maxLength) return `It may have ${kind.maxLength} characters at most.`;
    if (kind.pattern && !new RegExp(kind.pattern, "u").test(value)) return `It must look like ${kind.pattern}.`;
    if (kind.format === "uuid" && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) return "It must be an id.";
  }
  return null;
}

function numberFault(value, kind) {
  if (typeof value !== "number" || Number.isNaN(value)) return "It must be a number.";
  if (kind.type === "integer" && !Number.isInteger(value)) return "It must be a whole number.";
  if (kind.minimum !== undefined && value < kind.minimum) return `It must be at least ${kind.minimum}.`;
  if (kind.exclusiveMinimum !== undefined && value <= kind.exclusiveMinimum) return `It must be above ${kind.exclusiveMinimum}.`;
  if (kind.maximum !== undefined && value > kind.maximum) return `It must be at most ${kind.maximum}.`;
  if (kind.exclusiveMaximum !== undefined && value >= kind.exclusiveMaximum) return `It must be below ${kind.exclusiveMaximum}.`;
  return null;
}

/** The value without what was left open. */
export function given(value) {
  if (Array.isArray(value)) return value.map(given);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined).map(([name, one]) => [name, given(one)]));
}
