// Where we are: #/datasets/ID/rows?x=y. Paths without # are the API's.

import { useEffect, useState } from "./html.js";

export function here() {
  const [path, query] = window.location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: Object.fromEntries(new URLSearchParams(query)) };
}

export function link(...parts) {
  const query = typeof parts.at(-1) === "object" ? parts.pop() : {};
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(...parts) {
  window.location.hash = link(...parts);
}

export function useRoute() {
  const [route, set] = useState(here);
  useEffect(() => {
    const moved = () => set(here());
    window.addEventListener("hashchange", moved);
    return () => window.removeEventListener("hashchange", moved);
  }, []);
  return route;
}
