/** Models: find them by their tags. */

import {html, useMemo, useState} from "../host.js";
import {useData} from "../data.js";
import {count} from "../format.js";
import {clauseOf, withClause} from "../query-text.js";
import {useGo, useSession, useUrl} from "../state.js";
import {CopyButton} from "../parts/copy.js";
import {Loaded} from "../parts/loaded.js";
import {Page} from "../parts/page.js";
import {Pager} from "../parts/pager.js";
import {QueryBox} from "../parts/query-box.js";
import {Table} from "../parts/table.js";
import {DeployDialog} from "./deploying/dialog.js";
import {ColumnChoice} from "./models/columns.js";
import {NoMatch, NoModels} from "./models/empty.js";
import {ExportButton} from "./models/export.js";
import {Facets} from "./models/facets.js";
import {columnsOf} from "./models/rows.js";

/** Charts of more models are for aggregates; so many can still be told apart. */
const MOST_COMPARED = 8;

const FIELDS = {q: "", sort: "-created", columns: [], archived: false, cursor: "", from: 0, m: []};
const FIRST_PAGE = {cursor: "", from: 0};

export default function Models() {
  const [url, setUrl] = useUrl(FIELDS);
  const go = useGo();
  const {q, sort, columns, archived, cursor, from, m: chosen} = url;
  const models = useData("models", {q, sort, archived, cursor, metrics: columns.join(",")});
  const ask = (query) => setUrl({q: query, ...FIRST_PAGE});
  const pick = (key, value, exclude) => ask(withClause(q, clauseOf(key, value, exclude)));
  const choose = (id) => setUrl({
    m: chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id],
  }, {replace: true});
  const {may} = useSession();
  const [deploying, setDeploying] = useState(null);
  const deploy = may.deploy ? setDeploying : null;
  const full = chosen.length >= MOST_COMPARED;
  const shape = useMemo(() => columnsOf({columns, chosen, choose, pick, full, deploy}), [columns, chosen, q, deploy]);
  const misread = models.problem?.status === 422 ? models.problem : null;
  const compare = () => go("dashboard", {view: "models", m: chosen});
  return html`<${Page} title="Models" actions=${html`
      <${CopyButton} text=${() => window.location.href}>Copy link<//>
      <${ExportButton} params=${{q, sort, archived, metrics: columns.join(",")}} metrics=${columns} />
      <button type="button" className="me-button" disabled=${chosen.length < 2} onClick=${compare}
        title=${`Choose two to ${MOST_COMPARED} models in the table`}>
        Compare selected (${chosen.length})</button>`}>
    <${QueryBox} value=${q} onSubmit=${ask} problem=${misread} />
    ${misread ? null : html`<${Loaded} of=${models}>${(data) => data.total === 0
      ? html`<${NoModels} />`
      : html`<div className="me-models">
          <${Facets} q=${q} onQuery=${ask} />
          <div>
            <div className="me-bar">
              <span role="status"><strong>${count(data.matched)}</strong> of ${count(data.total)} models</span>
              <label className="me-check"><input type="checkbox" checked=${archived}
                onChange=${() => setUrl({archived: !archived, ...FIRST_PAGE})} />archived too</label>
              <${ColumnChoice} q=${q} chosen=${columns}
                onChange=${(next) => setUrl({columns: next}, {replace: true})} />
            </div>
            ${data.matched === 0
              ? html`<${NoMatch} hint=${data.hint} query=${q} onQuery=${ask} />`
              : html`<${Table} label="Models" rows=${data.items} keyOf=${(row) => row.id}
                  columns=${shape} sort=${sort} chosen=${(row) => chosen.includes(row.id)}
                  onSort=${(next) => setUrl({sort: next, ...FIRST_PAGE})} />`}
            <${Pager} next=${data.next} cursor=${cursor} from=${from} shown=${data.items.length}
              matched=${data.matched} onTurn=${(to, at) => setUrl({cursor: to, from: at})} />
          </div>
        </div>`}
    <//>`}
    ${deploying && html`<${DeployDialog} envelope=${deploying} onClose=${() => setDeploying(null)} />`}
  <//>`;
}
