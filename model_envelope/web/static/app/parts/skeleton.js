/** Grey lines where text will be. */

import {html} from "../host.js";

export function Skeleton({rows = 6}) {
  return html`<div className="me-skeleton" role="status" aria-label="Loading">
    ${Array.from({length: rows}, (_, row) => html`<span key=${row} />`)}
  </div>`;
}
