import {html} from "../host.js";
import {Page} from "../parts/page.js";

export default function Dashboard() {
  return html`<${Page} title="Dashboard"><//>`;
}
