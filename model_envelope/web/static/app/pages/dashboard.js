/** Dashboard: how models did over time, and against each other. All of it is in the address. */

import {html} from "../host.js";
import {useData} from "../data.js";
import {useUrl} from "../state.js";
import {CopyButton} from "../parts/copy.js";
import {Loaded} from "../parts/loaded.js";
import {Page} from "../parts/page.js";
import {QueryBox} from "../parts/query-box.js";
import {Tabs} from "../parts/tabs.js";
import {CompareMetrics} from "./dashboard/compare-metrics.js";
import {CompareModels} from "./dashboard/compare-models.js";
import {TimeSeries} from "./dashboard/time-series.js";
import {SavedViews} from "./dashboard/views.js";

/** What the address may say; what it does not say, the server chooses by what there is. */
export const FIELDS = {
  view: "time", q: "", run: true,
  metric: [], x: "", y: "", split: "", color: "", shape: "", range: "", mode: "auto", scale: "linear",
  hide: [], refresh: 0, m: [], baseline: "", only: false,
};

const VIEWS = [
  {id: "time", label: "Time series", shows: TimeSeries},
  {id: "metrics", label: "Compare metrics", shows: CompareMetrics},
  {id: "models", label: "Compare models", shows: CompareModels},
];

export default function Dashboard() {
  const [url, setUrl] = useUrl(FIELDS);
  const choices = useData("metrics", {q: url.q});
  const misread = choices.problem?.status === 422 ? choices.problem : null;
  const {shows: View} = VIEWS.find(({id}) => id === url.view) ?? VIEWS[0];
  return html`<${Page} title="Dashboard" actions=${html`
      <${CopyButton} text=${() => window.location.href}>Copy link<//><${SavedViews} />`}>
    <${QueryBox} value=${url.q} problem=${misread} button="Show" onSubmit=${(q) => setUrl({q, run: true})} />
    ${misread ? null : html`<${Tabs} label="What is shown" tabs=${VIEWS} current=${url.view}
        onChange=${(view) => setUrl({view, x: "", y: ""})}>
      <${Loaded} of=${choices}>${(found) => html`
        <${View} url=${url} set=${(changes) => setUrl(changes, {replace: true})} choices=${found} />`}<//>
    <//>`}
  <//>`;
}
