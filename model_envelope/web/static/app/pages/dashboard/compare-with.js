/** What one would compare a model with: the one before it, last month's, the live one. */

import {html} from "../../host.js";
import {useData} from "../../data.js";
import {date, short} from "../../format.js";
import {clauseOf} from "../../query-text.js";
import {Link} from "../../parts/link.js";
import {Menu} from "../../parts/menu.js";
import {ProblemBox} from "../../parts/problem.js";

const WORDS = {
  previous: "The one before it", week: "About a week older", month: "About a month older",
  year: "About a year older",
};

/**
 * @param {{id: string, label: any, without?: string[], onPick: (id: string) => void}} props
 *   `without`: ids that are not offered
 */
export function CompareWith({id, label, without = [id], onPick}) {
  const others = useData(["models", id, "others"]);
  const items = others.data?.items ?? [];
  const offered = items.filter((one) => !without.includes(one.id));
  const q = items.length ? clauseOf("canonical_name", items[0].name) : "";
  return html`<${Menu} label=${label}>
    ${offered.map((one) => html`<button key=${`${one.why} ${one.service}`} type="button" onClick=${() => onPick(one.id)}>
      ${one.why === "live" ? `Live in ${one.service}` : WORDS[one.why]}
      <br /><span className="me-muted me-small">${date(one.created_at)} · ${short(one.id)}</span></button>`)}
    ${others.data && !offered.length && html`<p className="me-muted">There is no other of its name to suggest.</p>`}
    ${others.problem && html`<${ProblemBox} problem=${others.problem} onRetry=${others.reload} />`}
    <${Link} to="" params=${{q}}>Choose in the table of models<//>
  <//>`;
}
