/** What the data was that the model was trained on, beside the data of the model before. */

import {html} from "../../host.js";
import {useData} from "../../data.js";
import {count, counted, date, number, share, short} from "../../format.js";
import {useUrl} from "../../state.js";
import {Empty} from "../../parts/empty.js";
import {Frequencies, Histogram} from "../../parts/histogram.js";
import {Link} from "../../parts/link.js";
import {Loaded} from "../../parts/loaded.js";
import {Section} from "../../parts/page.js";
import {Table} from "../../parts/table.js";

const FIELDS = {against: ""};

/** @param {{model: Object}} props */
export function Data({model}) {
  const [{against}, setUrl] = useUrl(FIELDS);
  const statistics = useData(["models", model.id, "statistics"], {against});
  const flip = () => setUrl({against: against ? "" : "previous"}, {replace: true});
  return html`<div className="me-stack">
    <label className="me-check"><input type="checkbox" checked=${Boolean(against)} disabled=${!model.previous}
        onChange=${flip} /><span>Beside the previous model${model.previous && html`, <${Link}
        to=${["m", model.previous]} params=${{tab: "data"}}>${short(model.previous)}<//>`}</span>
    </label>
    <${Loaded} of=${statistics}>${(functions) => Object.keys(functions).length === 0
      ? html`<${Empty} title="No statistics">
          <p>This model was saved without example data. Pass <code>api_input=training_data</code> to
            <code> save_model</code>, and its distributions are kept: not its rows.</p><//>`
      : Object.entries(functions).map(([name, sides]) => Object.entries(sides).map(([side, {columns}]) => html`
          <${Section} key=${`${name} ${side}`} title=${`${name}: ${side}, ${counted(columns[0]?.count ?? 0, "row")}`}>
            <${Table} className="me-top" label=${`Data of ${name}, ${side}`} rows=${columns} keyOf=${(row) => row.name}
              columns=${columnsOf(Boolean(against))} />
          <//>`))}
    <//>
  </div>`;
}

function columnsOf(beside) {
  const both = (of, text) => (row) => html`${of(row) === null ? "–" : text(of(row), row)}
    ${beside && row.against && html`<span className="me-before" title="Previous model">${
      of(row.against) === null ? "–" : text(of(row.against), row)}</span>`}`;
  const value = (of) => both(of, (one, row) => valueOf(row)(one));
  return [
    {key: "name", label: "Column", rowHeader: true, className: "me-any", render: ({name, type, against}) => html`
      <code>${name}</code><span className="me-before">${type}${beside && !against && ", new"}</span>`},
    {key: "missing", label: "Missing", align: "end", render: both((row) => row.missing_share, share)},
    {key: "shape", label: "Distribution", render: (row) => html`<${Shape} column=${row} beside=${beside} />`},
    {key: "distinct", label: "Distinct", align: "end", render: both((row) => row.distinct, count)},
    {key: "mean", label: "Mean", align: "end", className: "me-tight", render: value((row) => row.mean)},
    {key: "std", label: "Std", align: "end", className: "me-tight",
      render: both((row) => (isTime(row) ? null : row.std), (one) => number(one))},
    {key: "min", label: "Min", align: "end", className: "me-tight", render: value((row) => row.min)},
    ...["p5", "p50", "p95"].map((name) => ({key: name, label: name, align: "end", className: "me-tight",
      render: value((row) => row.quantiles?.[name] ?? null)})),
    {key: "max", label: "Max", align: "end", className: "me-tight", render: value((row) => row.max)},
  ];
}

function Shape({column, beside}) {
  const {histogram, top, against} = column;
  if (histogram) {
    return html`<${Histogram} ...${histogram} text=${valueOf(column)}
      against=${beside ? against?.histogram?.counts : null} />`;
  }
  if (top?.length) {
    return html`<${Frequencies} top=${top} total=${column.count} against=${beside ? against?.top : null} />`;
  }
  return html`<span className="me-muted">–</span>`;
}

const isTime = ({type}) => /^(timestamp|date)/.test(type);

/** How a column's values are written: times are seconds since 1970. */
const valueOf = (column) => (value) =>
  isTime(column) && typeof value === "number" ? date(value * 1000) : number(value);
