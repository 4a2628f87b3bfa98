import {html} from "../host.js";
import {Page} from "../parts/page.js";

export default function Service() {
  return html`<${Page} title="Service"><//>`;
}
