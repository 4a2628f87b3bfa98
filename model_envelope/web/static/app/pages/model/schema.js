/** What goes in and what comes out, by function. */

import {html} from "../../host.js";
import {Section} from "../../parts/page.js";
import {Table} from "../../parts/table.js";

const COLUMNS = [
  {key: "name", label: "Column", rowHeader: true, className: "me-any", render: ({name}) => html`<code>${name}</code>`},
  {key: "type", label: "Type", render: ({type}) => html`<code>${type}</code>`},
  {key: "nullable", label: "May be missing", render: ({nullable}) => (nullable ? "yes" : "no")},
  {key: "example", label: "Example", className: "me-any",
    render: ({example}) => (example === null ? "–" : html`<code>${shown(example)}</code>`)},
];

/** @param {{model: Object}} props */
export function Schema({model}) {
  return html`<div className="me-stack">${model.functions.map((one) => html`
    <div key=${one.name} className="me-halves">
      <${Section} title=${`${one.name}: input`}><${Columns} of=${one.input} label=${`Input of ${one.name}`} /><//>
      <${Section} title=${`${one.name}: output`}><${Columns} of=${one.output} label=${`Output of ${one.name}`} /><//>
    </div>`)}</div>`;
}

function Columns({of, label}) {
  if (!of) return html`<p className="me-muted">It was saved without a signature.</p>`;
  const columns = of.columns.some(({example}) => example !== null) ? COLUMNS : COLUMNS.slice(0, 3);
  return html`<${Table} label=${label} columns=${columns} rows=${of.columns} keyOf=${({name}) => name} />`;
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));
