/** What one run of a DAG saved, predicted and deployed. */

import {html} from "../host.js";
import {useData} from "../data.js";
import {count} from "../format.js";
import {State} from "../parts/badge.js";
import {Tags} from "../parts/chips.js";
import {Empty} from "../parts/empty.js";
import {Link} from "../parts/link.js";
import {Loaded} from "../parts/loaded.js";
import {Section} from "../parts/page.js";
import {Table} from "../parts/table.js";
import {Time} from "../parts/time.js";
import {ModelName, Services} from "./models/rows.js";

const started = {key: "started_at", label: "Started", className: "me-tight",
  render: (row) => html`<${Time} at=${row.started_at} exact />`};
const state = {key: "state", label: "State", render: (row) => html`<${State} state=${row.state} />`};
const model = {key: "envelope", label: "Model", render: ({envelope, name}) => html`
  <${ModelName} model=${{id: envelope, name}} />`};

const PARTS = [
  ["envelopes", "Saved models", (row) => row.id, [
    {key: "model", label: "Model", rowHeader: true, render: (row) => html`<${ModelName} model=${row} />`},
    {key: "tags", label: "Tags", className: "me-wide-cell", render: ({tags}) => html`
      <${Tags} tags=${tags} without=${["canonical_name"]} />`},
    {key: "task", label: "Task", className: "me-any", render: ({source}) => source?.task_id ?? "–"},
    {key: "services", label: "Deployed", render: ({services}) => html`<${Services} services=${services} />`},
  ]],
  ["predictions", "Batch predictions", (row) => row.run_key, [
    model, state, started,
    {key: "rows", label: "Rows", align: "end", render: ({rows}) => count(rows)},
    {key: "output_table", label: "Written to", className: "me-any", render: (row) => html`<code>${row.output_table}</code>`},
    {key: "error", label: "Error", className: "me-any", render: ({error}) => error || "–"},
  ]],
  ["deployments", "Deployments", (row) => row.id, [
    {key: "service", label: "Service", rowHeader: true, render: ({service}) => html`
      <${Link} to=${["services", service]}>${service}<//>`},
    model, state, started,
    {key: "reason", label: "Reason", className: "me-any", render: ({reason}) => reason || "–"},
  ]],
];

/** @param {{dagId: string, runId: string}} props */
export function RunPage({dagId, runId}) {
  const run = useData("runs", {dag_id: dagId, run_id: runId}, {every: 15});
  return html`<main className="me-page">
    <h1 className="me-unseen">Envelopes of ${dagId}, run ${runId}</h1>
    <${Loaded} of=${run}>${(data) => {
      const parts = PARTS.filter(([name]) => data[name].length > 0);
      if (!parts.length) {
        return html`<${Empty} title="Nothing with envelopes">
          <p>This run saved no model, wrote no batch prediction and deployed nothing, so far. What its
            tasks do with envelopes appears here by itself.</p><//>`;
      }
      return html`<div className="me-stack">${parts.map(([name, title, keyOf, columns]) => html`
        <${Section} key=${name} title=${title}>
          <${Table} label=${title} rows=${data[name]} keyOf=${keyOf} columns=${columns} />
        <//>`)}</div>`;
    }}<//>
  </main>`;
}
