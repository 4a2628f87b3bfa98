/** Small drawings that stand beside words; never instead of them. */

import {html} from "../host.js";

const PATHS = {
  check: "M3 8.5l3.2 3.2L13 4.8",
  cross: "M4 4l8 8M12 4l-8 8",
  warning: "M8 2.5l6 11H2zM8 6.5v3.2M8 11.4v.3",
  info: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8M8 7.2v3.6M8 5v.3",
  unknown: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8M6.2 6.3c.2-2.4 3.6-2.3 3.6-.2 0 1.4-1.8 1.4-1.8 2.8M8 11.2v.3",
  stop: "M4 4h8v8H4z",
  clock: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8M8 4.4V8l2.4 1.6",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3l8 5-8 5z",
  up: "M8 13V3.5M4 7.2L8 3.2l4 4",
  down: "M8 3v9.5M4 8.8l4 4 4-4",
  left: "M10 3L5 8l5 5",
  right: "M6 3l5 5-5 5",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  edit: "M3 13l.6-2.8 7.6-7.6 2.2 2.2-7.6 7.6z",
  plus: "M8 3v10M3 8h10",
  export: "M8 2v8M4.8 7L8 10.2 11.2 7M2.8 13.2h10.4",
  columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
  rocket: "M8 13.5V3.5M4 7.5l4-4 4 4M4 13.5h8",
  star: "M8 1.8l1.9 3.9 4.3.6-3.1 3 .7 4.3L8 11.6l-3.8 2 .7-4.3-3.1-3 4.3-.6z",
  link: "M6.5 9.5l3-3M7 4.5l1.3-1.3a3 3 0 014.4 4.4L11.4 9M9 11.5l-1.3 1.3a3 3 0 01-4.4-4.4L4.6 7",
};

/** @param {{name: keyof PATHS}} props */
export function Icon({name}) {
  return html`<svg className="me-icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} />
  </svg>`;
}
