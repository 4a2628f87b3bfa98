/** One model: what it is, what it was made of, what became of it. */

import {html, useState} from "../host.js";
import {useData} from "../data.js";
import {whyNotDeploy} from "../deploying.js";
import {short} from "../format.js";
import {useGo, useSession, useUrl} from "../state.js";
import {Badge} from "../parts/badge.js";
import {CopyButton} from "../parts/copy.js";
import {Icon} from "../parts/icon.js";
import {Loaded} from "../parts/loaded.js";
import {Page} from "../parts/page.js";
import {Tabs} from "../parts/tabs.js";
import {CompareWith} from "./dashboard/compare-with.js";
import {DeployDialog} from "./deploying/dialog.js";
import {Data} from "./model/data.js";
import {Dependencies} from "./model/dependencies.js";
import {Deployments} from "./model/deployments.js";
import {Functions} from "./model/functions.js";
import {History} from "./model/history.js";
import {Metrics} from "./model/metrics.js";
import {Overview} from "./model/overview.js";
import {Schema} from "./model/schema.js";
import {TagEditor} from "./model/tag-editor.js";
import {Services} from "./models/rows.js";

const TABS = [
  ["overview", "Overview", Overview],
  ["schema", "Schema", Schema],
  ["data", "Data", Data],
  ["dependencies", "Dependencies", Dependencies],
  ["metrics", "Metrics", Metrics],
  ["functions", "Query functions", Functions],
  ["deployments", "Deployments", Deployments],
  ["history", "History", History],
];
const FIELDS = {tab: "overview"};

export default function Model({params: {id}}) {
  const model = useData(["models", id]);
  if (!model.data) {
    return html`<${Page} title=${`Model ${short(id)}`}><${Loaded} of=${model}>${() => null}<//><//>`;
  }
  return html`<${Known} model=${model.data} state=${model} />`;
}

function Known({model, state}) {
  const [{tab}, setUrl] = useUrl(FIELDS);
  const [, , Content] = TABS.find(([name]) => name === tab) ?? TABS[0];
  const title = model.name || `Model ${short(model.id)}`;
  return html`<${Page} title=${title} heading=${html`<${Heading} model=${model} title=${title} />`}
      actions=${html`<${Actions} model=${model} />`}>
    <${Loaded} of=${state}>${() => html`<div className="me-stack">
      <${TagEditor} model=${model} onChange=${state.reload} />
      <${Tabs} label="About this model" current=${tab} onChange=${(next) => setUrl({tab: next})}
          tabs=${TABS.map(([name, label]) => ({id: name, label}))}>
        <${Content} model=${model} onChange=${state.reload} />
      <//>
    </div>`}<//>
  <//>`;
}

function Heading({model, title}) {
  return html`<span className="me-row">
    <span>${title}</span>
    <span className="me-row me-id"><code className="me-muted">${short(model.id)}</code>
      <${CopyButton} text=${model.id} label="Copy the id" /></span>
    ${model.archived && html`<${Badge} tone="warn" icon="stop">archived<//>`}
    <${Services} services=${model.services} />
  </span>`;
}

function Actions({model}) {
  const [deploying, setDeploying] = useState(false);
  const go = useGo();
  const refused = whyNotDeploy(useSession()) || (model.archived && "An archived model is not deployed.");
  const compare = (other) => go("dashboard", {view: "models", m: [other, model.id], baseline: other});
  return html`
    <${CompareWith} id=${model.id} label="Compare with…" onPick=${compare} />
    <button type="button" className="me-button me-primary" disabled=${Boolean(refused)} title=${refused || ""}
      onClick=${() => setDeploying(true)}><${Icon} name="rocket" />Deploy…</button>
    ${deploying && html`<${DeployDialog} envelope=${model} onClose=${() => setDeploying(false)} />`}`;
}
