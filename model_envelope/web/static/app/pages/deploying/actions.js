/** Rolling back and undeploying: a question first, what became of it after. */

import {html, useState} from "../../host.js";
import {useAction} from "../../data.js";
import {begin} from "../../deploying.js";
import {short} from "../../format.js";
import {useSession} from "../../state.js";
import {Dialog} from "../../parts/dialog.js";
import {Field} from "../../parts/field.js";
import {ProblemBox} from "../../parts/problem.js";
import {Following} from "./following.js";

const WORDS = {
  rollback: {
    title: ({name}) => `Roll back ${name}`,
    does: ({previous_envelope: previous, rule}) => html`Puts back <code>${short(previous ?? "")}</code>.
      ${rule && html` The rule <strong>${rule}</strong> is paused, because it would deploy the newer one again.`}`,
    button: "Roll back",
  },
  undeploy: {
    title: ({name}) => `Undeploy ${name}`,
    does: ({url, rule}) => html`Its URL ${url && html`<code className="me-any">${url}</code>`} stops answering.
      ${rule && html` The rule <strong>${rule}</strong> is paused, because it would deploy it again.`}`,
    button: "Undeploy",
  },
};

/**
 * @param {{action: "rollback"|"undeploy", service: Object, onClose: () => void,
 *   onEnd: () => void}} props
 */
export function ActionDialog({action, service, onClose, onEnd}) {
  const session = useSession();
  const words = WORDS[action];
  const [reason, setReason] = useState("");
  const [act, doing] = useAction(() => begin(session, {action, service: service.name, reason}));
  const footer = doing.done
    ? html`<button type="button" className="me-button" onClick=${onClose}>Close</button>`
    : html`<button type="button" className="me-button" onClick=${onClose}>Cancel</button>
        <button type="button" className="me-button me-danger" disabled=${doing.busy} onClick=${act}>
          ${words.button}</button>`;
  return html`<${Dialog} open title=${words.title(service)} onClose=${onClose} footer=${footer}>
    ${doing.done
      ? html`<${Following} begun=${doing.done} onEnd=${onEnd} />`
      : html`<p>${words.does(service)}</p>
        <${Field} label="Why" hint="For the ledger, and for who looks at it tomorrow.">
          ${(control) => html`<input ...${control} className="me-input" value=${reason}
            onChange=${(event) => setReason(event.target.value)} />`}
        <//>
        ${doing.problem && html`<${ProblemBox} problem=${doing.problem} />`}`}
  <//>`;
}
