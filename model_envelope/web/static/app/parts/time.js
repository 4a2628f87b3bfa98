/** Times: how long ago, and exactly when on hovering. */

import {html} from "../host.js";
import {ago, moment} from "../format.js";

/** @param {{at: string|null, exact?: boolean}} props */
export function Time({at, exact = false}) {
  if (!at) return html`<span className="me-muted">–</span>`;
  return html`<time dateTime=${at} title=${exact ? ago(at) : moment(at)}>${exact ? moment(at) : ago(at)}</time>`;
}
