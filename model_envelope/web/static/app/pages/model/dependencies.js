/** The packages a model needs: what changed since the one before it first. */

import {html} from "../../host.js";
import {useData} from "../../data.js";
import {counted, short} from "../../format.js";
import {Changes, isSame} from "../../parts/changes.js";
import {CopyButton} from "../../parts/copy.js";
import {Link} from "../../parts/link.js";
import {Loaded} from "../../parts/loaded.js";
import {Section} from "../../parts/page.js";
import {Table} from "../../parts/table.js";

const COLUMNS = [
  {key: "name", label: "Package", rowHeader: true, className: "me-any"},
  {key: "version", label: "Version", className: "me-tight"},
  {key: "direct", label: "Needed by", render: ({direct}) => (direct ? "the model itself" : "other packages")},
  {key: "source", label: "From", className: "me-any", render: ({source}) => source?.url ?? source ?? "the package index"},
];

/** @param {{model: Object}} props */
export function Dependencies({model}) {
  const {distributions, python, platform} = model.environment;
  const pins = () => distributions.map(({name, version}) => `${name}==${version}`).join("\n");
  return html`<div className="me-stack">
    ${model.previous && html`<${Since} model=${model} />`}
    <${Section} title=${`${counted(distributions.length, "package")} on Python ${python}, ${platform}`}
        actions=${html`<${CopyButton} text=${pins}>Copy as requirements<//>`}>
      <${Table} label="Packages" rows=${distributions} keyOf=${({name}) => name} columns=${COLUMNS} />
    <//>
  </div>`;
}

function Since({model}) {
  const differences = useData(["models", model.id, "differences"]);
  return html`<${Section} title=${html`Since <${Link} to=${["m", model.previous]}
      params=${{tab: "dependencies"}}><code>${short(model.previous)}</code><//>`}>
    <${Loaded} of=${differences}>${({packages, about}) => {
      const python = "python" in about.changed;
      if (isSame(packages) && !python) {
        return html`<p className="me-muted">The same ${counted(packages.same, "package")}, in the same versions.</p>`;
      }
      return html`<div className="me-stack">
        ${python && html`<p>Python ${about.changed.python.join(" → ")}</p>`}
        <${Changes} label="Differences of packages" name="Package" of=${packages} />
      </div>`;
    }}<//>
  <//>`;
}
