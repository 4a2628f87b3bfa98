import {html} from "../host.js";
import {Page} from "../parts/page.js";

export default function Rule() {
  return html`<${Page} title="Rule"><//>`;
}
