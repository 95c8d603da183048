// Templates: what stands in ${…} becomes text or an attribute, never markup.

import { h } from "./preact.js";
import htm from "./htm.js";

export { render } from "./preact.js";
export { useEffect, useMemo, useRef, useState } from "./hooks.js";
export const html = htm.bind(h);
