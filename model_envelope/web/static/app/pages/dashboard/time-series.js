/** Metrics over time: a point for each model, or a line for each, or medians of many. */

import {html, useMemo} from "../../host.js";
import {Chart} from "../../charts.js";
import {useData} from "../../data.js";
import {useGo} from "../../state.js";
import {Select} from "../../parts/field.js";
import {Loaded} from "../../parts/loaded.js";
import {Controls, Exports, Meta, MetricSelect, REFRESHES, SeriesMenu, TagSelect} from "./controls.js";
import {NotAsked, NothingToDraw} from "./nothing.js";

const PATH = "viz/time_series";
const XS = [
  {value: "", label: "time saved"},
  {value: "at", label: "time measured"},
  {value: "step", label: "step"},
];
const RANGES = [
  {value: "", label: "usual"},
  {value: "7d", label: "7 days"},
  {value: "30d", label: "30 days"},
  {value: "90d", label: "90 days"},
  {value: "365d", label: "a year"},
  {value: "all", label: "all"},
];
const MODES = [
  {value: "auto", label: "by their number"},
  {value: "lines", label: "each model"},
  {value: "band", label: "medians"},
];
const SCALES = [{value: "linear", label: "linear"}, {value: "log", label: "logarithmic"}];

/** @param {{url: Object, set: (changes: Object) => void, choices: Object}} props */
export function TimeSeries({url, set, choices}) {
  const {q, metric, split, x, range, mode, scale, refresh, run} = url;
  const params = {q, metric, split, x, range, mode, scale};
  const drawn = useData(run ? PATH : null, params, {every: refresh});
  const {meta} = drawn.data ?? {};
  const scalars = choices.metrics.filter((one) => one.scalar);
  return html`<div className="me-stack"><${Controls}>
      <${MetricSelect} label="Metric" value=${metric[0] ?? meta?.chosen?.metric?.[0] ?? ""} metrics=${scalars}
        matched=${choices.matched} onChange=${(name) => set({metric: [name], hide: []})} />
      <${TagSelect} label="Split by" value=${split || meta?.chosen?.split || ""} tags=${choices.tags}
        onChange=${(key) => set({split: key || "none", hide: []})} />
      <${Select} label="Over" value=${x} options=${XS} onChange=${(to) => set({x: to})} />
      <${Select} label="Range" value=${range} options=${RANGES} onChange=${(to) => set({range: to})} />
      <${Select} label="Show" value=${mode} options=${MODES} onChange=${(to) => set({mode: to})} />
      <${Select} label="Scale" value=${scale} options=${SCALES} onChange=${(to) => set({scale: to})} />
      <${Select} label="Refresh" value=${String(refresh)} options=${REFRESHES} onChange=${(to) => set({refresh: Number(to)})} />
    <//>
    ${!run ? html`<${NotAsked} onRun=${() => set({run: true})} />`
      : html`<${Loaded} of=${drawn}>${(found) => (found.spec
        ? html`<${Drawn} key=${`${x} ${range}`} found=${found} url=${url} set=${set}
            actions=${html`<${Exports} path=${PATH} params=${params} />`} />`
        : html`<${NothingToDraw} reason=${found.meta.reason} matched=${found.meta.matched} />`)}
      <//>`}</div>`;
}

function Drawn({found: {spec, data, meta}, url: {hide}, set, actions}) {
  const go = useGo();
  const shown = useMemo(() => without(data, hide), [data, hide]);
  return html`<div className="me-stack"><${Meta} meta=${meta} />
    <${Chart} title=${meta.title} spec=${spec} data=${shown} height=${420}
      onPick=${(datum) => datum.model && go(["m", datum.model])}
      actions=${html`${meta.series.length > 1 && html`
        <${SeriesMenu} series=${meta.series} hidden=${hide} onChange=${(names) => set({hide: names})} />`}${actions}`} />
    <p className="me-small me-muted">Ctrl and the wheel zoom, dragging moves, a double click shows all again.</p>
  </div>`;
}

/** The rows of all series but some. */
function without(data, hidden) {
  if (!hidden.length) return data;
  const kept = data.columns.series.map((name) => !hidden.includes(name));
  return {columns: Object.fromEntries(
    Object.entries(data.columns).map(([name, values]) => [name, values.filter((_, at) => kept[at])]))};
}
