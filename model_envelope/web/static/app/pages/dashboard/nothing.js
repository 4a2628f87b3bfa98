/** No chart, and why. */

import {html} from "../../host.js";
import {counted} from "../../format.js";
import {Empty, Snippet} from "../../parts/empty.js";

/** `&run=0` opens the controls and asks nothing. */
export function NotAsked({onRun}) {
  return html`<${Empty} title="Nothing was asked yet">
    <p>This address opens the controls only.</p>
    <button type="button" className="me-button me-primary" onClick=${onRun}>Show</button>
  <//>`;
}

/** @param {{reason?: string, matched: number}} props */
export function NothingToDraw({reason, matched}) {
  return html`<${Empty} title="Nothing to draw">
    <p>${matched ? `${counted(matched, "model")} ${matched === 1 ? "matches" : "match"}, but: ${reason || "none has this metric."}`
      : "No model matches."}</p>
    ${matched > 0 && html`<p>Metrics are logged at training, or any time later:</p>
      <${Snippet} code=${'envelope.log_metrics({"validation_auc": 0.93})'} />`}
  <//>`;
}
