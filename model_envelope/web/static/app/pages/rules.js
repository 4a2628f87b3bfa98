import {html} from "../host.js";
import {Page} from "../parts/page.js";

export default function Rules() {
  return html`<${Page} title="Rules"><//>`;
}
