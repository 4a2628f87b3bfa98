/** One service: what it runs and why, how it is, what was deployed, and its log. */

import {html, useState} from "../host.js";
import {useData} from "../data.js";
import {whyNotDeploy} from "../deploying.js";
import {short} from "../format.js";
import {useSession} from "../state.js";
import {State} from "../parts/badge.js";
import {Link} from "../parts/link.js";
import {Loaded} from "../parts/loaded.js";
import {Page, Section} from "../parts/page.js";
import {Table} from "../parts/table.js";
import {Time} from "../parts/time.js";
import {ActionDialog} from "./deploying/actions.js";
import {Deployments} from "./deployments.js";
import {LiveModel, RuledBy, ServiceUrl, rateText} from "./services.js";

export default function Service({params: {name}}) {
  const service = useData(["services", name], {}, {every: 5});
  const [action, setAction] = useState(null);
  const {data} = service;
  return html`<${Page} title=${name} actions=${data && html`<${Actions} service=${data} onAct=${setAction} />`}
      heading=${html`<span className="me-row">${name}${data && html`<${State} state=${data.state} />`}</span>`}>
    <${Loaded} of=${service}>${(found) => html`<div className="me-stack">
      <${Facts} service=${found} />
      ${found.live && html`<${Replicas} name=${name} />`}
      <${Section} title="Deployments"><${Deployments} items=${found.deployments} of="service" /><//>
      ${found.live && html`<${Log} name=${name} />`}
      ${action && html`<${ActionDialog} action=${action} service=${found} onClose=${() => setAction(null)}
        onEnd=${service.reload} />`}
    </div>`}<//>
  <//>`;
}

function Actions({service, onAct}) {
  const refused = whyNotDeploy(useSession());
  const nothingBefore = !service.previous_envelope && "Nothing ran before.";
  const idle = !service.live && !service.desired.envelope && "It runs nothing.";
  return html`
    <button type="button" className="me-button" disabled=${Boolean(refused || nothingBefore)}
      title=${refused || nothingBefore || ""} onClick=${() => onAct("rollback")}>Roll back</button>
    <button type="button" className="me-button me-danger" disabled=${Boolean(refused || idle)}
      title=${refused || idle || ""} onClick=${() => onAct("undeploy")}>Undeploy</button>`;
}

function Facts({service: {url, live, desired, rule, target, previous_envelope: previous}}) {
  const waits = desired.envelope && desired.envelope !== live?.envelope;
  return html`<dl className="me-facts">
    <dt>URL</dt><dd><${ServiceUrl} url=${url} /></dd>
    <dt>Runs</dt><dd><p><${LiveModel} live=${live} />${live && html` since <${Time} at=${live.since} />,
      by ${live.by}`}${!waits && desired.reason && `: ${desired.reason}`}</p></dd>
    ${waits && html`<dt>Wanted</dt><dd><p><${Link} to=${["m", desired.envelope]}>${short(desired.envelope)}<//>
      by ${desired.by}${desired.reason && `: ${desired.reason}`}</p></dd>`}
    ${previous && html`<dt>Ran before</dt><dd><${Link} to=${["m", previous]}><code>${short(previous)}</code><//></dd>`}
    <dt>Decided by</dt><dd><${RuledBy} rule=${rule} pinned=${desired.pinned} /></dd>
    <dt>Where</dt><dd>${target.kind}${Object.keys(target.options ?? {}).length > 0
      && html` <code className="me-small">${JSON.stringify(target.options)}</code>`}</dd>
  </dl>`;
}

function Replicas({name}) {
  const health = useData(["services", name, "health"], {}, {every: 5});
  return html`<${Section} title="Health"><${Loaded} of=${health}>${({state, message, replicas, rates}) => html`
    <p className="me-row"><${State} state=${state} />${message && html`<span>${message}</span>`}
      ${rates && html`<span className="me-muted me-numbers">${rateText(rates)}</span>`}</p>
    ${replicas.length > 0 && html`<${Table} label="Replicas" rows=${replicas} columns=${REPLICA}
      keyOf=${({address}) => address} />`}`}
  <//><//>`;
}

const REPLICA = [
  {key: "address", label: "Replica", rowHeader: true, className: "me-any", render: ({address}) => html`<code>${address}</code>`},
  {key: "ready", label: "State", render: ({ready}) => html`<${State} state=${ready ? "healthy" : "unhealthy"}
    label=${ready ? "ready" : "not ready"} />`},
  {key: "restarts", label: "Restarts", align: "end"},
  {key: "detail", label: "Says", className: "me-any"},
];

function Log({name}) {
  const [lines, setLines] = useState(200);
  const log = useData(["services", name, "logs"], {lines});
  return html`<${Section} title="Log" actions=${html`
      <button type="button" className="me-button" onClick=${log.reload}>Refresh</button>
      <button type="button" className="me-button" disabled=${lines >= 2000} onClick=${() => setLines(2000)}>More lines</button>`}>
    <${Loaded} of=${log}>${({text}) => html`<pre className="me-log" tabIndex=${0} role="region"
      aria-label=${`Log of ${name}`}>${text || "Nothing was logged."}</pre>`}<//>
  <//>`;
}
