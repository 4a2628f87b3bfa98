/** What the tags of the matches are, and how many have each: a click asks for one. */

import {html, useState} from "../../host.js";
import {useData} from "../../data.js";
import {count} from "../../format.js";
import {withPick} from "../../query-text.js";
import {Icon} from "../../parts/icon.js";
import {Loaded} from "../../parts/loaded.js";

/** @param {{q: string, onQuery: (query: string) => void}} props */
export function Facets({q, onQuery}) {
  const tags = useData("tags", {q, top: 10});
  const [open, setOpen] = useState(false);
  const pick = (key, value, event) => onQuery(withPick(q, key, value, event.altKey));
  return html`<aside className="me-facets" aria-label="Filter by tags">
    <button type="button" className="me-button me-filter" aria-expanded=${open} onClick=${() => setOpen(!open)}>
      <${Icon} name=${open ? "up" : "down"} />Filter by tags</button>
    <${Loaded} of=${tags}>${({facets}) => facets.slice(0, 8).map((facet) => html`
      <${Facet} key=${facet.key} of=${facet} onPick=${pick} />`)}
    <//>
  </aside>`;
}

function Facet({of: {key, models, distinct, values}, onPick}) {
  // Where each value is one model's own, there is nothing to choose between.
  const [open, setOpen] = useState(distinct <= values.length || values[0].count > 1);
  return html`<details className="me-facet" open=${open} onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary title=${`${key}: ${count(models)} models have it`}>
      <span>${key}</span><span className="me-count" title="Different values">${count(distinct)}</span></summary>
    ${values.map(({value, count: having, chosen}) => html`
      <button key=${value} type="button" aria-pressed=${chosen} title=${`${key} = ${value}: Alt-click leaves it out`}
          onClick=${(event) => onPick(key, value, event)}>
        <span>${chosen && html`<${Icon} name="check" />`}</span><span>${value}</span>
        <span className="me-count">${count(having)}</span>
      </button>`)}
  </details>`;
}
