import {html} from "../host.js";
import {Page} from "../parts/page.js";

export default function Batch() {
  return html`<${Page} title="Batch"><//>`;
}
