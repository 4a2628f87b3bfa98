/** Batch predictions: which model predicted which table, and what came of it. */

import {html} from "../host.js";
import {useData} from "../data.js";
import {count, duration, short} from "../format.js";
import {useUrl} from "../state.js";
import {State} from "../parts/badge.js";
import {Empty, Snippet} from "../parts/empty.js";
import {Link, RunLink} from "../parts/link.js";
import {Loaded} from "../parts/loaded.js";
import {Page} from "../parts/page.js";
import {Pager} from "../parts/pager.js";
import {QueryBox} from "../parts/query-box.js";
import {Table} from "../parts/table.js";
import {Time} from "../parts/time.js";

const FIELDS = {q: "", envelope: "", cursor: "", from: 0};
const FIRST_PAGE = {cursor: "", from: 0};

export default function Batch() {
  const [{q, envelope, cursor, from}, setUrl] = useUrl(FIELDS);
  const runs = useData("batch", {q, envelope, cursor}, {every: 15});
  const misread = runs.problem?.status === 422 ? runs.problem : null;
  return html`<${Page} title="Batch predictions" actions=${envelope && html`<button type="button" className="me-button"
      onClick=${() => setUrl({envelope: "", ...FIRST_PAGE})}>Only by ${short(envelope)}: show all</button>`}>
    <${QueryBox} value=${q} problem=${misread} placeholder="Models by their tags: region == 'US'"
      onSubmit=${(query) => setUrl({q: query, ...FIRST_PAGE})} />
    ${misread ? null : html`<${Loaded} of=${runs}>${({items, next, matched}) => items.length === 0
      ? html`<${NoRuns} filtered=${q || envelope} />`
      : html`<${Predictions} items=${items} />
        <${Pager} next=${next} cursor=${cursor} from=${from} shown=${items.length} matched=${matched}
          onTurn=${(to, at) => setUrl({cursor: to, from: at})} />`}
    <//>`}
  <//>`;
}

/** @param {{items: Object[]}} props runs, newest first */
export function Predictions({items}) {
  return html`<${Table} label="Batch predictions" rows=${items} columns=${COLUMNS} keyOf=${({run_key: key}) => key} />`;
}

const COLUMNS = [
  {key: "started", label: "Began", rowHeader: true, className: "me-tight", render: ({started_at: at}) => html`<${Time} at=${at} />`},
  {key: "state", label: "State", render: ({state, error}) => html`<${State} state=${state === "done" ? "succeeded" : state}
    label=${state} title=${error ?? ""} />`},
  {key: "model", label: "Model", render: ({envelope, name}) => html`
    <${Link} to=${["m", envelope]}>${name || "model"} <code className="me-small">${short(envelope)}</code><//>`},
  {key: "tables", label: "From, to", className: "me-wide-cell me-any", render: ({input_tables: inputs, output_table: output}) => html`
    <code className="me-small">${(inputs ?? []).join(", ")}</code><br /><code className="me-small">→ ${output ?? "–"}</code>`},
  {key: "rows", label: "Rows", align: "end", render: ({rows}) => count(rows)},
  {key: "took", label: "Took", align: "end", className: "me-tight", render: ({started_at: start, finished_at: end}) =>
    duration(end ? (new Date(end) - new Date(start)) / 1000 : null)},
  {key: "run", label: "Run", render: ({run}) => html`<span className="me-clip"><${RunLink} run=${run} /></span>`},
  {key: "error", label: "Error", className: "me-any", render: ({error}) => error && html`
    <details className="me-details"><summary>Error</summary><pre className="me-log">${error}</pre></details>`},
];

function NoRuns({filtered}) {
  if (filtered) return html`<${Empty} title="No prediction matches"><p>Models that match have predicted no table.</p><//>`;
  return html`<${Empty} title="No batch predictions yet">
    <p>An operator fetches the latest model that matches a tag query, and predicts a table by Spark:</p>
    <${Snippet} code=${`from model_envelope.operators.batch import ModelBatchPredictOperator

ModelBatchPredictOperator(
    task_id="predict", tag_query="canonical_name == 'client_ltv'",
    input_table="clients", output_table="client_ltv")`} />
  <//>`;
}
