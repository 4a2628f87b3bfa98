import {html} from "../host.js";
import {Page} from "../parts/page.js";

export default function Model() {
  return html`<${Page} title="Model"><//>`;
}
