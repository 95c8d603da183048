// Plots by uPlot, which is loaded when the first one is drawn. Colours are those of the page's theme.

import { html, useEffect, useRef } from "./html.js";

let library = null;

function load() {
  library ??= new Promise((resolve, reject) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("uplot.css", import.meta.url) });
    const script = Object.assign(document.createElement("script"), { src: new URL("uplot.js", import.meta.url) });
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error("uplot.js can't be loaded"));
    document.head.append(style, script);
  });
  return library;
}

/** A colour of the theme, as a canvas takes it. */
export function colour(name) {
  const probe = document.createElement("i");
  probe.className = `colour-${name}`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** `options(colour)` answers uPlot's options without a size. `label` says in words what is to be seen. */
export function Plot({ data, options, height = 260, label, children }) {
  const place = useRef(null);
  const drawn = useRef(null);
  useEffect(() => {
    let there = true;
    const draw = async () => {
      const uPlot = await load();
      if (!there || !place.current) return; // gone meanwhile, or going
      drawn.current?.destroy();
      const given = options(colour);
      const axes = given.axes.map((axis) => ({ stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line"), width: 1 }, font: "12px system-ui", ...axis }));
      drawn.current = new uPlot({ ...given, axes, width: place.current.clientWidth, height }, data, place.current);
    };
    draw();
    const sized = new ResizeObserver(() => place.current && drawn.current?.setSize({ width: place.current.clientWidth, height }));
    sized.observe(place.current);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    window.addEventListener("themechange", draw);
    return () => {
      there = false;
      sized.disconnect();
      dark.removeEventListener("change", draw);
      window.removeEventListener("themechange", draw);
      drawn.current?.destroy();
      drawn.current = null;
    };
  }, [options]);
  useEffect(() => {
    drawn.current?.setData(data);
  }, [data]);
  return html`<figure class="plot">
    <div ref=${place} role="img" aria-label=${label}></div>
    ${children && html`<figcaption>${children}</figcaption>`}
  </figure>`;
}
