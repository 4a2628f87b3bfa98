/** The controls of a chart. */

import {html} from "../../host.js";
import {address} from "../../api.js";
import {count} from "../../format.js";
import {Select} from "../../parts/field.js";
import {Icon} from "../../parts/icon.js";
import {Menu} from "../../parts/menu.js";

/** Controls beside each other. */
export function Controls({children}) {
  return html`<div className="me-controls" role="group" aria-label="Controls of the chart">${children}</div>`;
}

/** Metrics to choose, with how many of the models have each. */
export function MetricSelect({label, value, metrics, matched, onChange, any}) {
  const options = metrics.map(({name, models}) => ({value: name, label: `${name} (${count(models)}/${count(matched)})`}));
  if (any !== undefined) options.unshift({value: "", label: any});
  if (value && !metrics.some(({name}) => name === value)) options.push({value, label: `${value} (none)`});
  return html`<${Select} label=${label} value=${value} options=${options} onChange=${onChange} />`;
}

/** Tags to tell series apart by. */
export function TagSelect({label, value, tags, onChange, none = "nothing"}) {
  const options = [{value: "", label: none}, ...tags.map(({key, values}) => ({value: key, label: `${key} (${count(values)})`}))];
  if (value && !tags.some(({key}) => key === value)) options.push({value, label: `${value} (none)`});
  return html`<${Select} label=${label} value=${value} options=${options} onChange=${onChange} />`;
}

export const REFRESHES = [
  {value: "0", label: "off"},
  {value: "15", label: "15 s"},
  {value: "60", label: "60 s"},
];

/** The rows behind a chart, in other forms. */
export function Exports({path, params}) {
  const as = (format) => address(path, {...params, format});
  return html`<${Menu} label=${html`<${Icon} name="export" />Export`}>
    <a href=${as("csv")} download>CSV of all rows</a>
    <a href=${as("parquet")} download>Parquet of all rows</a>
    <a href=${as("python")} download="chart.py">Python for a notebook</a>
  <//>`;
}

/** Which series are shown; what each of them shows does not depend on it. */
export function SeriesMenu({series, hidden, onChange}) {
  const shown = series.filter(({name}) => !hidden.includes(name));
  const flip = (name) => onChange(hidden.includes(name) ? hidden.filter((one) => one !== name) : [...hidden, name]);
  return html`<${Menu} label=${`Series (${count(shown.length)}/${count(series.length)})`}>
    ${series.map(({name, models}) => html`<label key=${name} className="me-check">
      <input type="checkbox" checked=${!hidden.includes(name)} onChange=${() => flip(name)} />
      <span className="me-any">${name}</span><span className="me-count" title="Models in it">${count(models)}</span>
    </label>`)}
  <//>`;
}

/** "200 of 240 models · 40 without auc · 3 series · median and p25-p75". */
export function Meta({meta}) {
  const {matched, used, note, lacking, points_sent: sent, points_total: total} = meta;
  const without = Object.entries(lacking ?? {}).filter(([, models]) => models > 0);
  return html`<p className="me-row me-numbers" role="status">
    <span><strong>${count(used)}</strong> of ${count(matched)} models</span>
    ${without.map(([name, models]) => html`<span key=${name} className="me-muted">${count(models)} without ${name}</span>`)}
    ${sent !== undefined && total !== undefined && html`<span className="me-muted">${sent === total
      ? `${count(total)} points` : `${count(sent)} points stand for ${count(total)}`}</span>`}
    ${note && html`<span className="me-muted">${note}</span>`}
  </p>`;
}
