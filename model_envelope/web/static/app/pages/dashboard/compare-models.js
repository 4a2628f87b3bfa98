/** Up to eight models beside each other: their charts, their numbers, and all that differs. */

import {html} from "../../host.js";
import {Chart} from "../../charts.js";
import {useData} from "../../data.js";
import {date, number, short} from "../../format.js";
import {Link} from "../../parts/link.js";
import {Loaded} from "../../parts/loaded.js";
import {Section} from "../../parts/page.js";
import {Icon} from "../../parts/icon.js";
import {Empty} from "../../parts/empty.js";
import {Table} from "../../parts/table.js";
import {CompareWith} from "./compare-with.js";
import {Controls, Exports, Meta, TagSelect} from "./controls.js";

const PATH = "viz/compare_models";
const MOST = 8;

/** @param {{url: Object, set: (changes: Object) => void, choices: Object}} props */
export function CompareModels({url, set, choices}) {
  const {q, m, baseline, split, only, run} = url;
  const newest = split && split !== "none" && m.length === 0;
  const asked = run && (m.length > 0 || newest);
  const params = {q: m.length ? "" : q, m, split: m.length ? "" : split, baseline};
  const drawn = useData(asked ? PATH : null, params);
  return html`<div className="me-stack"><${Controls}>
      <${TagSelect} label="The newest for each" value=${m.length ? "" : split} tags=${choices.tags}
        none="chosen models" onChange=${(key) => set({split: key, m: []})} />
    <//>
    ${!asked ? html`<${Choose} />` : html`
      ${!drawn.data && drawn.problem && m.length > 0 && html`<${Chosen} set=${set} baseline=${baseline}
        models=${m.map((id) => ({id, label: short(id)}))} />`}
      <${Loaded} of=${drawn}>${(found) => html`<${Compared} found=${found} baseline=${baseline} only=${only} set=${set}
        exports=${html`<${Exports} path=${PATH} params=${params} />`} />`}<//>`}</div>`;
}

function Choose() {
  return html`<${Empty} title="Which models?">
    <p>Choose two to eight in the table of${" "}<${Link} to="">models<//>, or drag over points in Compare metrics; or take
      the newest for each value of a tag, above.</p>
  <//>`;
}

/** The models, also where they cannot be compared: to leave some out. */
function Chosen({models, baseline, set, children}) {
  const drop = (id) => set({m: models.map((one) => one.id).filter((one) => one !== id), baseline: id === baseline ? "" : baseline});
  return html`<div className="me-row">
    <ul className="me-compared" aria-label="Models that are compared">${models.map(({id, label, created_at: at}) => html`<li key=${id}>
      <button type="button" className="me-icon-button" aria-pressed=${id === baseline}
        title=${id === baseline ? "Compare with none" : "Compare the others with this one"}
        aria-label=${`Baseline ${label}`} onClick=${() => set({baseline: id === baseline ? "" : id})}>
        <${Icon} name="star" /></button>
      <${Link} to=${["m", id]}>${label}<//>${at && html`<span className="me-muted">${date(at)}</span>`}
      ${id === baseline && html`<span className="me-muted">baseline</span>`}
      <button type="button" className="me-icon-button" aria-label=${`Leave out ${label}`} onClick=${() => drop(id)}>
        <${Icon} name="cross" /></button></li>`)}</ul>
    ${children}
  </div>`;
}

function Compared({found: {models, charts, scalars, differences, meta}, baseline, only, set, exports}) {
  const ids = models.map(({id}) => id);
  const some = Object.keys(meta.lacking);
  return html`<div className="me-stack">
    <${Chosen} models=${models} baseline=${baseline} set=${set}>
      ${ids.length < MOST && html`<${CompareWith} id=${ids.at(-1)} without=${ids} label="Add"
        onPick=${(id) => set({m: [...ids, id]})} />`}${exports}<//>
    <${Meta} meta=${{...meta, lacking: {}}} />
    ${scalars.length > 0 && html`<${Section} title="Numbers"><${Numbers} scalars=${scalars} models=${models} /><//>`}
    ${charts.length > 0 && html`<${Section} title="Charts">
      <div className="me-charts">${charts.map(({name, spec, data, problem}) => (spec
        ? html`<${Chart} key=${name} title=${name} spec=${spec} data=${data} height=${300} />`
        : html`<p key=${name} className="me-note me-warn">${name} cannot be drawn: ${problem ?? "it has no rows"}</p>`))}</div><//>`}
    ${some.length > 0 && html`<p className="me-muted">Not all of them measured: ${some.join(", ")}.</p>`}
    <${Section} title="What differs" actions=${html`<label className="me-check"><input type="checkbox" checked=${!only}
        onChange=${() => set({only: !only})} />differences only</label>`}>
      <${Differences} rows=${only ? differences : differences.filter(({same}) => !same)} models=${models} /><//>
  </div>`;
}

function Numbers({scalars, models}) {
  const columns = [
    {key: "name", label: "Metric", rowHeader: true, className: "me-any"},
    ...models.map(({id, label}) => ({key: id, label, align: "end", className: "me-tight", render: ({values, deltas}) => html`
      ${number(values[id], 6)}${deltas?.[id] !== undefined && deltas[id] !== null
        && html` <span className="me-muted">(${deltas[id] > 0 ? "+" : ""}${number(deltas[id])})</span>`}`})),
  ];
  return html`<${Table} label="Numbers of the models" rows=${scalars} columns=${columns} keyOf=${({name}) => name} />`;
}

function Differences({rows, models}) {
  if (!rows.length) return html`<p className="me-muted">Tags, hyperparameters, packages and functions are the same.</p>`;
  const columns = [
    {key: "what", label: "What", className: "me-tight me-muted"},
    {key: "name", label: "Name", rowHeader: true, className: "me-any"},
    ...models.map(({id, label}) => ({key: id, label, className: "me-any", render: ({values}) => (
      values[id] === null || values[id] === undefined ? html`<span className="me-muted">–</span>` : String(values[id]))})),
  ];
  return html`<${Table} label="What differs between the models" rows=${rows} columns=${columns}
    keyOf=${({what, name}) => `${what} ${name}`} />`;
}
