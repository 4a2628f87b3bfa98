/** What a rule would do now: shown while it is written, and kept in view after. */

import {html} from "../../host.js";
import {count, counted, short} from "../../format.js";
import {Link} from "../../parts/link.js";
import {ProblemBox} from "../../parts/problem.js";
import {Decision} from "../rules.js";

/** @param {{preview: ReturnType<import("../../preview.js").usePreview>}} props */
export function Outlook({preview: {data, problem, of}}) {
  if (problem && problem.status !== 422) return html`<${ProblemBox} problem=${problem} />`;
  if (problem) return html`<p className="me-muted" role="status">What it would do is shown here once it can be read.</p>`;
  if (!data) return html`<p className="me-muted" aria-busy="true">Looking what it would do…</p>`;
  const {matched, decision, older_matches: older, overlap} = data;
  return html`<div className=${`me-stack ${of ? "" : "me-stale"}`} aria-busy=${!of} role="status">
    ${overlap && html`<p className="me-error">The rule <${Link} to=${["rules", overlap.rule]}>${overlap.rule}<//> decides
      over ${overlap.service} already: one service has one rule.</p>`}
    <p><strong>${counted(matched, "model")}</strong> ${matched === 1 ? "matches" : "match"}.
      ${older > 0 && html` <span className="me-muted">${count(older)} of them ${older === 1 ? "is" : "are"} passed over.</span>`}</p>
    <${Decision} decision=${decision} />
    <${Near} near=${decision.near} />
  </div>`;
}

/** What one clause kept from being chosen, newest first. */
export function Near({near}) {
  if (!near?.length) return null;
  return html`<div><h3>Kept out by one clause</h3>
    <ul className="me-list">${near.map(({envelope, clause, actual, matches}) => html`<li key=${clause}>
      <${Link} to=${["m", envelope]}><code>${short(envelope)}</code><//>${matches > 1 ? ` and ${matches - 1} more by ` : " by "}<code className="me-any">${clause}</code>${actual && html`: <span className="me-muted">${actual}</span>`}</li>`)}</ul></div>`;
}
