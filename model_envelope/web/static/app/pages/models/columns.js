/** Choosing which metrics are columns. */

import {html} from "../../host.js";
import {useData} from "../../data.js";
import {count} from "../../format.js";
import {Icon} from "../../parts/icon.js";
import {Loaded} from "../../parts/loaded.js";
import {Menu} from "../../parts/menu.js";

/** @param {{q: string, chosen: string[], onChange: (columns: string[]) => void}} props */
export function ColumnChoice({q, chosen, onChange}) {
  const metrics = useData("metrics", {q});
  const flip = (name) => onChange(chosen.includes(name)
    ? chosen.filter((one) => one !== name) : [...chosen, name]);
  return html`<${Menu} label=${html`<${Icon} name="columns" />Columns`}>
    <${Loaded} of=${metrics}>${(data) => {
      const scalars = data.metrics.filter(({scalar}) => scalar);
      if (!scalars.length) return html`<p className="me-muted">None of these models has a scalar metric.</p>`;
      return scalars.map(({name, models}) => html`<label key=${name} className="me-check">
        <input type="checkbox" checked=${chosen.includes(name)} onChange=${() => flip(name)} />
        <span>${name}</span><span className="me-count" title="Models that have it">${count(models)}</span>
      </label>`);
    }}<//>
  <//>`;
}
