/** What is between asking and having: waiting, failing, and data that is a little old. */

import {html} from "../host.js";
import {ago} from "../format.js";
import {ProblemBox} from "./problem.js";
import {Skeleton} from "./skeleton.js";

/**
 * Show data, or why it is not there. Loading never looks like empty.
 * @param {{of: ReturnType<import("../data.js").useData>, skeleton?: any,
 *   children: (data: any) => any}} props
 */
export function Loaded({of, skeleton, children}) {
  const {data, problem, loading, slow, at, reload} = of;
  if (data === null || data === undefined) {
    if (problem) return html`<${ProblemBox} problem=${problem} onRetry=${reload} />`;
    return html`<div aria-busy="true">${slow && (skeleton ?? html`<${Skeleton} />`)}</div>`;
  }
  return html`<div className=${slow ? "me-stale" : ""} aria-busy=${loading}>
    ${problem && html`<${ProblemBox} problem=${problem} onRetry=${reload}
      note=${`What is shown was there ${ago(at)}.`} />`}
    ${children(data)}
  </div>`;
}
