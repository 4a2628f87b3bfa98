import {html} from "../host.js";
import {Page} from "../parts/page.js";

export default function Deployments() {
  return html`<${Page} title="Deployments"><//>`;
}
