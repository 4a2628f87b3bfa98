/** States: a colour, a shape and a word, so that none of them carries the meaning alone. */

import {html} from "../host.js";
import {Icon} from "./icon.js";

/** @type {Object<string, [tone: string, icon: string]>} */
const STATES = {
  live: ["good", "check"],
  healthy: ["good", "check"],
  succeeded: ["good", "check"],
  success: ["good", "check"],
  deployed: ["good", "check"],
  passed: ["good", "check"],
  failed: ["bad", "cross"],
  unhealthy: ["bad", "cross"],
  refused: ["bad", "cross"],
  running: ["busy", "clock"],
  deploying: ["busy", "clock"],
  starting: ["busy", "clock"],
  waiting: ["quiet", "clock"],
  queued: ["quiet", "clock"],
  stopped: ["quiet", "stop"],
  paused: ["warn", "pause"],
  unknown: ["warn", "unknown"],
};

/** A state by its word. @param {{state: string, label?: string, title?: string}} props */
export function State({state, label = state, title}) {
  const [tone, icon] = STATES[state] ?? ["quiet", "info"];
  return html`<${Badge} tone=${tone} icon=${icon} title=${title}>${label}<//>`;
}

/** @param {{tone?: "good"|"bad"|"warn"|"busy"|"quiet", icon?: string, title?: string}} props */
export function Badge({tone = "quiet", icon, title, children}) {
  return html`<span className=${`me-badge me-${tone}`} title=${title}>
    ${icon && html`<${Icon} name=${icon} />`}${children}
  </span>`;
}
