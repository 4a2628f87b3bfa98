import {html} from "../host.js";
import {Page} from "../parts/page.js";

export function RunPage({dagId, runId}) {
  return html`<${Page} title=${`${dagId} ${runId}`}><//>`;
}
