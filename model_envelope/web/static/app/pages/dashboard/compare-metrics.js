/** Two metrics or hyperparameters against each other, over all models that match. */

import {html, useState} from "../../host.js";
import {Chart, rowsOf} from "../../charts.js";
import {useData} from "../../data.js";
import {counted} from "../../format.js";
import {useGo} from "../../state.js";
import {Loaded} from "../../parts/loaded.js";
import {Controls, Exports, Meta, MetricSelect, TagSelect} from "./controls.js";
import {NothingToDraw, NotAsked} from "./nothing.js";

const PATH = "viz/compare_metrics";
const MOST_COMPARED = 8;

/** @param {{url: Object, set: (changes: Object) => void, choices: Object}} props */
export function CompareMetrics({url, set, choices}) {
  const {q, x, y, color, shape, run} = url;
  const params = {q, x, y, color, shape};
  const drawn = useData(run ? PATH : null, params);
  const chosen = drawn.data?.meta.chosen ?? {};
  const axes = [
    ...choices.metrics.filter(({scalar}) => scalar).map(({name, models}) => ({name: `metric.${name}`, models})),
    ...choices.hyperparameters.map(({name, models}) => ({name: `hyperparameter.${name}`, models})),
  ];
  const axis = (label, name) => html`<${MetricSelect} label=${label} value=${url[name] || chosen[name] || ""}
    metrics=${axes} matched=${choices.matched} onChange=${(to) => set({[name]: to})} />`;
  return html`<div className="me-stack"><${Controls}>
      ${axis("Across", "x")}${axis("Up", "y")}
      <${TagSelect} label="Colour by" value=${color || chosen.color || ""} tags=${choices.tags} onChange=${(key) => set({color: key || "none"})} />
      <${TagSelect} label="Shape by" value=${shape} tags=${choices.tags} onChange=${(key) => set({shape: key})} />
    <//>
    ${!run ? html`<${NotAsked} onRun=${() => set({run: true})} />`
      : html`<${Loaded} of=${drawn}>${(found) => (found.spec
        ? html`<${Meta} meta=${found.meta} /><${Scatter} drawn=${found} params=${params} />`
        : html`<${NothingToDraw} reason=${found.meta.reason} matched=${found.meta.matched} />`)}
      <//>`}</div>`;
}

function Scatter({drawn: {spec, data, meta}, params}) {
  const go = useGo();
  const [brushed, setBrushed] = useState([]);
  const few = brushed.slice(0, MOST_COMPARED);
  const compare = () => go("dashboard", {view: "models", q: params.q, m: few});
  return html`<${Chart} title=${meta.title} spec=${spec} data=${data} height=${420}
    onPick=${(datum) => datum.model && go(["m", datum.model])}
    onView=${(view) => onBrush(view, rowsOf(data.columns), setBrushed)}
    actions=${html`
      <button type="button" className="me-button" disabled=${few.length < 2} onClick=${compare}
        title="Drag over the chart to choose models">
        ${brushed.length > MOST_COMPARED ? `Compare ${MOST_COMPARED} of ${counted(brushed.length, "model")}`
          : `Compare these (${brushed.length})`}</button>
      <${Exports} path=${PATH} params=${params} />`} />`;
}

/** A brush holds a range of numbers, or the categories themselves. */
const within = (value, range) => (typeof value === "number" && typeof range[0] === "number"
  ? value >= Math.min(...range) && value <= Math.max(...range) : range.includes(value));

/** Tell which models are inside the brush, each time it was moved. */
function onBrush(view, rows, tell) {
  let timer = null;
  view.addSignalListener("brush", (_, ranges) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const fields = Object.entries(ranges ?? {});
      const inside = (row) => fields.every(([field, range]) => within(row[field], range));
      tell(fields.length ? rows.filter((row) => row.model && inside(row)).map((row) => row.model) : []);
    }, 100);
  });
}
