/** What happened to a model, and who did it. */

import {html} from "../../host.js";
import {useData} from "../../data.js";
import {Loaded} from "../../parts/loaded.js";
import {Table} from "../../parts/table.js";
import {Time} from "../../parts/time.js";

const WORDS = {
  saved: "saved",
  tags: "changed tags",
  description: "changed the description",
  archived: "archived it",
  unarchived: "took it back from the archive",
  deleted: "deleted it",
  undeleted: "took back its deletion",
  purged: "removed its files",
  function: "added a query function",
  metrics: "logged metrics",
  hyperparameters: "logged hyperparameters",
  verified: "verified that it can be rebuilt",
};

const COLUMNS = [
  {key: "at", label: "When", className: "me-tight", render: ({at}) => html`<${Time} at=${at} exact />`},
  {key: "actor", label: "Who", className: "me-any"},
  {key: "kind", label: "What", className: "me-tight", render: ({kind}) => WORDS[kind] ?? kind},
  {key: "data", label: "Details", className: "me-any", render: (event) => html`<${Details} of=${event} />`},
  {key: "revision", label: "Revision", align: "end"},
];

/** @param {{model: Object}} props */
export function History({model}) {
  const history = useData(["models", model.id, "history"]);
  return html`<${Loaded} of=${history}>${({items}) => html`
    <${Table} label="History" rows=${items} keyOf=${({revision}) => String(revision)} columns=${COLUMNS} />`}
  <//>`;
}

function Details({of: {data}}) {
  if (data.names) return data.names.join(", ");
  if (!data.before && !data.after) {
    const entries = Object.entries(data);
    return entries.length ? entries.map(([name, value]) => `${name}: ${shown(value)}`).join("; ") : "–";
  }
  const {before, after} = data;
  if (typeof before !== "object" || typeof after !== "object") return `${shown(before)} → ${shown(after)}`;
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
    .filter((key) => before?.[key] !== after?.[key]);
  return html`<ul>${keys.map((key) => html`<li key=${key}><code>${key}</code> ${
    before?.[key] === undefined ? "" : html`<del>${shown(before[key])}</del> `}${
    after?.[key] === undefined ? "" : shown(after[key])}</li>`)}</ul>`;
}

const shown = (value) => (typeof value === "string" ? value || "(empty)" : JSON.stringify(value));
