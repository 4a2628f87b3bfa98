/** Where and when a model was deployed: the newest first, as a line through time. */

import {html} from "../../host.js";
import {useData} from "../../data.js";
import {State} from "../../parts/badge.js";
import {Empty} from "../../parts/empty.js";
import {Link, RunLink} from "../../parts/link.js";
import {Loaded} from "../../parts/loaded.js";
import {Time} from "../../parts/time.js";

/** @param {{model: Object}} props */
export function Deployments({model}) {
  const deployments = useData(["models", model.id, "deployments"], {}, {every: 15});
  return html`<${Loaded} of=${deployments}>${({items}) => (items.length === 0
    ? html`<${Empty} title="Never deployed">
        <p>Deploy it with the button above, or write a <${Link} to="rules">rule<//> that does whenever
          a better model is saved.</p><//>`
    : html`<ol className="me-timeline">${items.map((one) => html`<${Deployment} key=${one.id} of=${one} />`)}</ol>`)}
  <//>`;
}

function Deployment({of}) {
  return html`<li>
    <div className="me-row">
      <${State} state=${of.state} />
      <strong><${Link} to=${["services", of.service]}>${of.service}<//></strong>
      <span className="me-muted">by ${of.by}</span>
      <${Time} at=${of.started_at} />
    </div>
    ${of.reason && html`<p className="me-any">${of.reason}</p>`}
    <p className="me-muted">
      ${of.live_from
        ? html`Live from <${Time} at=${of.live_from} exact /> ${of.live_to
            ? html`to <${Time} at=${of.live_to} exact />` : "until now"}`
        : "Never live"}${of.run && html`, ${" "}<${RunLink} run=${of.run} />`}
    </p>
  </li>`;
}
