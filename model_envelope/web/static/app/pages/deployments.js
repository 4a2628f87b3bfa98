/** The ledger: every attempt to make a service run a model. */

import {html} from "../host.js";
import {useData} from "../data.js";
import {duration, short} from "../format.js";
import {useUrl} from "../state.js";
import {State} from "../parts/badge.js";
import {Dialog} from "../parts/dialog.js";
import {Empty} from "../parts/empty.js";
import {Link, RunLink} from "../parts/link.js";
import {Loaded} from "../parts/loaded.js";
import {Page} from "../parts/page.js";
import {Pager} from "../parts/pager.js";
import {Table} from "../parts/table.js";
import {Time} from "../parts/time.js";
import {Steps} from "./deploying/steps.js";

const FIELDS = {service: "", envelope: "", cursor: "", from: 0};
const OPEN = {open: ""};

export default function AllDeployments() {
  const [url, setUrl] = useUrl(FIELDS);
  const {service, envelope, cursor, from} = url;
  const deployments = useData("deployments", {service, envelope, cursor}, {every: 15});
  const only = service || (envelope && short(envelope));
  return html`<${Page} title="Deployments" actions=${only && html`<button type="button" className="me-button"
      onClick=${() => setUrl({service: "", envelope: "", cursor: "", from: 0})}>Only of ${only}: show all</button>`}>
    <${Loaded} of=${deployments}>${({items, next}) => html`
      <${Deployments} items=${items} />
      <${Pager} next=${next} cursor=${cursor} from=${from} shown=${items.length}
        onTurn=${(to, at) => setUrl({cursor: to, from: at})} />`}
    <//>
  <//>`;
}

/**
 * Deployments, newest first; each opens to its steps.
 * @param {{items: Object[], of?: "service"|"model"}} props `of` says what all of them are of, and
 *   needs no column
 */
export function Deployments({items, of}) {
  const [{open}, setUrl] = useUrl(OPEN);
  const show = (id) => setUrl({open: id}, {replace: true});
  if (items.length === 0) {
    return html`<${Empty} title="No deployments yet">
      <p>Each attempt to make a service run a model is told here, with what its gates saw.</p><//>`;
  }
  const shown = items.find(({id}) => id === open);
  const stepsColumn = {key: "steps", label: html`<span className="me-unseen">Steps</span>`, render: ({id}) => html`
    <button type="button" className="me-link-button" onClick=${() => show(id)}>Steps</button>`};
  const columns = COLUMNS.filter(({key}) => key !== of);
  return html`<${Table} label="Deployments" rows=${items} keyOf=${({id}) => id}
    columns=${[...columns, stepsColumn]} />
    ${shown && html`<${Dialog} open wide onClose=${() => show("")}
        title=${`${shown.service}: deployment ${short(shown.id)}`}>
      <${Steps} id=${shown.id} ended=${shown.state !== "running"} /><//>`}`;
}

const COLUMNS = [
  {key: "started", label: "Began", rowHeader: true, className: "me-tight", render: ({started_at: at}) => html`<${Time} at=${at} />`},
  {key: "service", label: "Service", className: "me-tight", render: ({service}) => html`
    <${Link} to=${["services", service]}>${service}<//>`},
  {key: "model", label: "Model", render: ({envelope, name}) => html`
    <${Link} to=${["m", envelope]}>${name || "model"} <code className="me-small">${short(envelope)}</code><//>`},
  {key: "state", label: "State", render: ({state}) => html`<${State} state=${state} />`},
  {key: "took", label: "Took", align: "end", className: "me-tight", render: ({started_at: start, live_from: live, finished_at: end}) =>
    duration(live || end ? (new Date(live ?? end) - new Date(start)) / 1000 : null)},
  {key: "by", label: "By", className: "me-any", render: ({by, run}) => (run
    ? html`${by} · <${RunLink} run=${run}>${run.dag_id}<//>` : by)},
  {key: "reason", label: "Why", className: "me-wide-cell me-any"},
];
