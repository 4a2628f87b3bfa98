/** All models that match, as a CSV file: a row for each, a column for each tag and metric. */

import {html, useState} from "../../host.js";
import {useAction} from "../../data.js";
import {everyItem, saveCsv} from "../../exporting.js";
import {count} from "../../format.js";
import {Icon} from "../../parts/icon.js";
import {ProblemBox} from "../../parts/problem.js";

const FIXED = ["id", "name", "description", "created_at", "by", "archived", "services"];

/** @param {{params: Object, metrics: string[]}} props `params`: of the list that is shown */
export function ExportButton({params, metrics}) {
  const [far, setFar] = useState("");
  const [save, saving] = useAction(async () => {
    const models = await everyItem("models", params, (done, of) => setFar(`${count(done)} of ${count(of)}`));
    const keys = [...new Set(models.flatMap(({tags}) => Object.keys(tags)))].sort();
    const header = [...FIXED, ...keys.map((key) => `tag.${key}`), ...metrics.map((name) => `metric.${name}`)];
    saveCsv("models.csv", header, models.map((model) => rowOf(model, keys, metrics)));
  });
  return html`<button type="button" className="me-button" disabled=${saving.busy} onClick=${save}
      title="All models that match, as CSV"><${Icon} name="export" />${saving.busy ? far || "Exporting…" : "CSV"}</button>
    ${saving.problem && html`<${ProblemBox} problem=${saving.problem} onRetry=${save} />`}`;
}

function rowOf(model, keys, metrics) {
  const live = model.services.filter((service) => service.live).map(({name}) => name);
  return [
    ...FIXED.slice(0, -1).map((name) => model[name]),
    live.join(" "),
    ...keys.map((key) => model.tags[key]),
    ...metrics.map((name) => model.metrics[name]),
  ];
}
