/** What was measured: numbers at once, charts when somebody looks. */

import {html} from "../../host.js";
import {Chart} from "../../charts.js";
import {useData} from "../../data.js";
import {measured, short} from "../../format.js";
import {Empty, Snippet} from "../../parts/empty.js";
import {Link} from "../../parts/link.js";
import {Loaded} from "../../parts/loaded.js";
import {Section} from "../../parts/page.js";
import {Skeleton} from "../../parts/skeleton.js";
import {Table} from "../../parts/table.js";
import {Time} from "../../parts/time.js";

/** @param {{model: Object}} props */
export function Metrics({model}) {
  const metrics = useData(["models", model.id, "metrics"]);
  return html`<${Loaded} of=${metrics}>${({scalars, charts, previous}) => scalars.length + charts.length === 0
    ? html`<${NoMetrics} model=${model} />`
    : html`<div className="me-stack">
        ${scalars.length > 0 && html`<${Section} title="Numbers"><${Scalars} scalars=${scalars} previous=${previous} /><//>`}
        <div className="me-charts">${charts.map(({name}) => html`
          <${Drawn} key=${name} id=${model.id} name=${name} />`)}</div>
      </div>`}
  <//>`;
}

function Scalars({scalars, previous}) {
  const columns = [
    {key: "name", label: "Metric", rowHeader: true, className: "me-any"},
    {key: "value", label: "Value", align: "end", render: ({value}) => measured(value)},
    {key: "step", label: "Step", align: "end"},
    {key: "at", label: "Logged", render: ({at}) => html`<${Time} at=${at} />`},
  ];
  const before = [
    {key: "previous", align: "end", render: ({previous: value}) => measured(value),
      label: html`Previous <${Link} to=${["m", previous]} params=${{tab: "metrics"}}>${previous && short(previous)}<//>`},
    {key: "delta", label: "Difference", align: "end", render: ({value, previous: old}) =>
      (typeof value === "number" && typeof old === "number" ? signed(value - old) : "–")},
  ];
  return html`<${Table} label="Scalar metrics" rows=${scalars} keyOf=${({name}) => name}
    columns=${previous ? columns.toSpliced(2, 0, ...before) : columns} />`;
}

function Drawn({id, name}) {
  const drawn = useData(["models", id, "metrics", name, "chart"]);
  return html`<${Loaded} of=${drawn} skeleton=${html`<${Skeleton} rows=${8} />`}>${({spec, data, meta}) => html`
    ${meta?.note && html`<p className="me-muted">${meta.note}</p>`}
    <${Chart} title=${name} spec=${spec} data=${data} />`}
  <//>`;
}

function NoMetrics({model}) {
  return html`<${Empty} title="No metrics yet">
    <p>Numbers, curves, confusion matrices and more: each draws itself here, and in the dashboard.</p>
    <${Snippet} code=${`import model_envelope as me

me.get("${model.id}").log_metrics({"validation_auc": 0.93})`} />
  <//>`;
}

const signed = (value) => `${value > 0 ? "+" : ""}${measured(value)}`;
