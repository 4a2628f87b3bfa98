import {html} from "../host.js";
import {Page} from "../parts/page.js";

export default function Services() {
  return html`<${Page} title="Services"><//>`;
}
