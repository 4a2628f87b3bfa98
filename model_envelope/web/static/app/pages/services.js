/** Services: every stable URL, what it runs, and whether it is well. */

import {html} from "../host.js";
import {useData} from "../data.js";
import {count, duration, share, short} from "../format.js";
import {State} from "../parts/badge.js";
import {CopyButton} from "../parts/copy.js";
import {Empty, Snippet} from "../parts/empty.js";
import {Link} from "../parts/link.js";
import {Loaded} from "../parts/loaded.js";
import {Page} from "../parts/page.js";
import {Table} from "../parts/table.js";
import {Time} from "../parts/time.js";

const REFRESH = 15;

export default function Services() {
  const services = useData("services", {}, {every: REFRESH});
  return html`<${Page} title="Services">
    <${Loaded} of=${services}>${({items}) => (items.length === 0
      ? html`<${NoServices} />`
      : html`<${Table} label="Services" rows=${items} keyOf=${({name}) => name} columns=${COLUMNS} />`)}
    <//>
  <//>`;
}

const COLUMNS = [
  {key: "name", label: "Service", rowHeader: true, render: ({name, state}) => html`
    <span className="me-row"><${Link} to=${["services", name]}>${name}<//><${State} state=${state} /></span>`},
  {key: "model", label: "Model", render: ({live}) => html`<${LiveModel} live=${live} />`},
  {key: "health", label: "Health", render: ({name, live}) => html`<${Health} name=${name} live=${live} />`},
  {key: "url", label: "URL", render: ({url}) => html`<${ServiceUrl} url=${url} />`},
  {key: "where", label: "Where", className: "me-tight", render: ({target}) => target.kind},
  {key: "rule", label: "Rule", className: "me-tight", render: ({rule, desired}) => html`
    <${RuledBy} rule=${rule} pinned=${desired.pinned} />`},
  {key: "since", label: "Live since", className: "me-tight", render: ({live}) => html`<${Time} at=${live?.since} />`},
];

/** What a service runs. */
export function LiveModel({live}) {
  if (!live) return html`<span className="me-muted">–</span>`;
  return html`<${Link} to=${["m", live.envelope]}>${live.name || "model"} <code className="me-small">${short(live.envelope)}</code><//>`;
}

/** A service's address, to open and to copy. */
export function ServiceUrl({url}) {
  if (!url) return html`<span className="me-muted">–</span>`;
  return html`<span className="me-row me-tight"><a href=${url} rel="noreferrer" target="_blank">${url}</a>
    <${CopyButton} text=${url} label="Copy the URL" /></span>`;
}

/** Who decides what it runs. */
export function RuledBy({rule, pinned}) {
  if (!rule) return html`<span className="me-muted">by hand</span>`;
  return html`<${Link} to=${["rules", rule]}>${rule}<//>${pinned && html` <span className="me-muted">(pinned)</span>`}`;
}

/** How a service is, asked of it now. What cannot be asked is unknown, not unhealthy. */
export function Health({name, live}) {
  const health = useData(live ? ["services", name, "health"] : null, {}, {every: REFRESH});
  if (!live) return html`<span className="me-muted">–</span>`;
  if (health.problem) return html`<${State} state="unknown" title=${health.problem.message} />`;
  if (!health.data) return html`<span className="me-muted" aria-busy="true">…</span>`;
  const {state, message, rates} = health.data;
  return html`<span className="me-row"><${State} state=${state} title=${message} />
    ${rates && html`<span className="me-muted me-numbers me-small me-tight">${rateText(rates)}</span>`}</span>`;
}

/** "120/min · p95 3.1 ms · 0 % errors". */
export const rateText = ({requests_per_minute: requests, p95_seconds: p95, error_share: errors}) => [
  requests !== null && `${count(requests)}/min`,
  p95 !== null && `p95 ${duration(p95)}`,
  errors !== null && `${share(errors)} errors`,
].filter(Boolean).join(" · ");

function NoServices() {
  return html`<${Empty} title="No services yet">
    <p>A service is a stable URL that runs a model. Deploy one from its page, write a
      <${Link} to="rules"> rule<//>, or from Python:</p>
    <${Snippet} code=${"import model_envelope as me\n\nme.deploy(\"canonical_name == 'client_ltv'\", \"client-ltv\")"} />
  <//>`;
}
