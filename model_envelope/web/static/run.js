/** The tab **Envelopes** on a run of a DAG: Airflow looks for a global of the tab's name. */

import {html} from "./app/host.js";
import {RunPage} from "./app/pages/run.js";
import {Frame} from "./app/shell.js";

// The address of the item Models, where links from here lead.
const MODELS = "/plugin/models";

globalThis.Envelopes = function Envelopes({dagId, runId}) {
  return html`<${Frame} base=${MODELS} inAirflow=${true}><${RunPage} dagId=${dagId} runId=${runId} /><//>`;
};
