/** Nothing to list: because nothing was saved, or because nothing matches. */

import {html} from "../../host.js";
import {counted} from "../../format.js";
import {clausesOf} from "../../query-text.js";
import {Empty, Snippet} from "../../parts/empty.js";

const FIRST = `import model_envelope as me

me.save_model(
    model.predict,
    description="Predicts client LTV from a set of features",
    tags={"canonical_name": "client_ltv", "region": "US"}, api_input=training_data)`;

export function NoModels() {
  return html`<${Empty} title="No models yet">
    <p>A model appears here as soon as it is saved. From a notebook or a task:</p>
    <${Snippet} code=${FIRST} />
    <p className="me-muted">The notebook has to use this store: set MODEL_ENVELOPE_STORE and
      MODEL_ENVELOPE_ARTIFACTS there to what this server has.</p>
  <//>`;
}

/** @param {{hint: {clause: string, matches_without: number}|null, query: string,
 *   onQuery: (query: string) => void}} props */
export function NoMatch({hint, query, onQuery}) {
  const rest = hint && clausesOf(query).filter((one) => one !== hint.clause);
  const removable = rest && rest.length < clausesOf(query).length;
  return html`<${Empty} title="No model matches">
    ${hint && html`<p>Without <code>${hint.clause}</code>, ${counted(hint.matches_without, "model")} would.</p>`}
    <div className="me-row">
      ${removable && html`<button type="button" className="me-button" onClick=${() => onQuery(rest.join(" and "))}>
        Search without it</button>`}
      <button type="button" className="me-button" onClick=${() => onQuery("")}>Show all models</button>
    </div>
  <//>`;
}
