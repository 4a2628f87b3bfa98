/** Rules: which tag query's models each service should run, and what each would do now. */

import {html} from "../host.js";
import {useData} from "../data.js";
import {whyNotChange} from "../deploying.js";
import {short} from "../format.js";
import {useGo, useSession} from "../state.js";
import {Badge, State} from "../parts/badge.js";
import {Empty} from "../parts/empty.js";
import {Link} from "../parts/link.js";
import {Loaded} from "../parts/loaded.js";
import {Page} from "../parts/page.js";
import {Table} from "../parts/table.js";
import {Time} from "../parts/time.js";
import {TEMPLATES} from "./rules/templates.js";

export default function Rules() {
  const rules = useData("rules", {}, {every: 15});
  const refused = whyNotChange(useSession());
  const go = useGo();
  return html`<${Page} title="Rules" actions=${html`<button type="button" className="me-button me-primary"
      disabled=${Boolean(refused)} title=${refused} onClick=${() => go(["rules", "+"])}>New rule</button>`}>
    <${Loaded} of=${rules}>${({items}) => (items.length === 0
      ? html`<${NoRules} />`
      : html`<${Table} label="Rules" rows=${items} keyOf=${({name}) => name} columns=${COLUMNS} />`)}
    <//>
  <//>`;
}

const COLUMNS = [
  {key: "name", label: "Rule", rowHeader: true, className: "me-tight", render: ({name, revision}) => html`
    <${Link} to=${["rules", name]}>${name}<//> <span className="me-muted me-small">r${revision}</span>`},
  {key: "when", label: "When", className: "me-wide-cell me-any", render: ({when}) => html`<code className="me-small">${when}</code>`},
  {key: "service", label: "Service", className: "me-tight", render: ({service, target}) => html`
    <${Link} to=${["services", service]}>${service}<//> <span className="me-muted">${target.kind}</span>`},
  {key: "decision", label: "Now", className: "me-wide-cell", render: ({decision}) => html`<${Decision} decision=${decision} />`},
  {key: "state", label: "State", render: ({paused, pause_reason: reason}) => (paused
    ? html`<${State} state="paused" title=${reason} />` : html`<${Badge} tone="good" icon="check">on<//>`)},
  {key: "owner", label: "Owner", className: "me-any"},
  {key: "at", label: "Changed", className: "me-tight", render: ({at, actor}) => html`
    <span title=${`by ${actor}`}><${Time} at=${at} /></span>`},
];

/** @type {Object<string, [tone: string, icon: string, word: string]>} */
const ACTIONS = {
  deploy: ["busy", "rocket", "would deploy"],
  replace: ["busy", "rocket", "would replace"],
  keep: ["good", "check", "runs its choice"],
  hold: ["warn", "warning", "held back"],
  paused: ["warn", "pause", "paused"],
  pinned: ["warn", "pause", "pinned by hand"],
  no_match: ["quiet", "info", "nothing matches"],
  undeploy: ["busy", "stop", "would undeploy"],
};

/** What a rule makes of its service now, and why. */
export function Decision({decision}) {
  if (!decision) return html`<span className="me-muted">–</span>`;
  const {action, envelope, reason} = decision;
  const [tone, icon, word] = ACTIONS[action] ?? ["quiet", "info", action];
  return html`<span className="me-row"><${Badge} tone=${tone} icon=${icon}>${word}<//>
    ${envelope && html`<${Link} to=${["m", envelope]}><code className="me-small">${short(envelope)}</code><//>`}
    ${reason && html`<span className="me-muted me-small me-any">${reason}</span>`}</span>`;
}

function NoRules() {
  return html`<${Empty} title="No rules yet">
    <p>A rule says by a tag query which model a service should run. Whoever saves or tags a model deploys nothing:
      the rule does, each time something better matches. Begin with one of these:</p>
    <ul className="me-stack">${Object.entries(TEMPLATES).map(([name, {title, about}]) => html`<li key=${name}>
      <${Link} to=${["rules", "+"]} params=${{template: name}}>${title}<//>
      <p className="me-muted">${about}</p></li>`)}</ul>
  <//>`;
}
