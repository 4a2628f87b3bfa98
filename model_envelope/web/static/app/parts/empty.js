/** Pages with nothing to show yet: they teach. */

import {html} from "../host.js";
import {CopyButton} from "./copy.js";

/** @param {{title: string, children?: any}} props */
export function Empty({title, children}) {
  return html`<div className="me-empty"><h2>${title}</h2>${children}</div>`;
}

/** Code to copy. @param {{code: string, label?: string}} props */
export function Snippet({code, label = "Copy the code"}) {
  return html`<div className="me-snippet">
    <pre tabIndex=${0} aria-label="Code"><code>${code}</code></pre>
    <${CopyButton} text=${code} label=${label} />
  </div>`;
}
