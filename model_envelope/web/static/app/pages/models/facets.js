/** What the tags of the matches are, and how many have each: a click asks for one. */

import {html} from "../../host.js";
import {useData} from "../../data.js";
import {count} from "../../format.js";
import {clauseOf, hasClause, withClause, withoutClause} from "../../query-text.js";
import {Icon} from "../../parts/icon.js";
import {Loaded} from "../../parts/loaded.js";

/** @param {{q: string, onQuery: (query: string) => void}} props */
export function Facets({q, onQuery}) {
  const tags = useData("tags", {q, top: 10});
  const pick = (key, value, event) => {
    const exclude = event.altKey;
    const clause = clauseOf(key, value, exclude);
    const without = withoutClause(q, clause);
    if (without !== null) onQuery(without);
    else onQuery(withClause(withoutClause(q, clauseOf(key, value, !exclude)) ?? q, clause));
  };
  return html`<aside className="me-facets" aria-label="Filter by tags">
    <${Loaded} of=${tags}>${({facets}) => facets.slice(0, 8).map((facet) => html`
      <details key=${facet.key} className="me-facet" open>
        <summary title=${`${facet.key}: ${count(facet.models)} models have it`}>
          <span>${facet.key}</span><span className="me-count">${count(facet.distinct)}</span></summary>
        ${facet.values.map(({value, count: models, chosen}) => {
          const on = chosen || hasClause(q, clauseOf(facet.key, value));
          return html`<button key=${value} type="button" aria-pressed=${on}
              title=${`${facet.key} = ${value}: Alt-click leaves it out`}
              onClick=${(event) => pick(facet.key, value, event)}>
            <span>${on && html`<${Icon} name="check" />`}</span><span>${value}</span>
            <span className="me-count">${count(models)}</span>
          </button>`;
        })}
      </details>`)}
    <//>
  </aside>`;
}
