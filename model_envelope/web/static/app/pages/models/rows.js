/** The columns of the table of models. */

import {html} from "../../host.js";
import {date, measured, moment, short} from "../../format.js";
import {Badge} from "../../parts/badge.js";
import {Tags} from "../../parts/chips.js";
import {Link, RunLink} from "../../parts/link.js";

/**
 * @param {{columns: string[], chosen: string[], choose: (id: string) => void,
 *   pick: (key: string, value: string, exclude: boolean) => void, full: boolean,
 *   deploy: ((model: Object) => void)|null}} options `columns`: metrics; `full`: no more may be
 *   chosen; `deploy` null: who looks may not
 */
export function columnsOf({columns, chosen, choose, pick, full, deploy}) {
  const deploying = {
    key: "deploy",
    label: html`<span className="me-unseen">Deploy</span>`,
    render: (row) => !row.archived && html`<button type="button" className="me-link" aria-label=${
      `Deploy ${row.name || "model"} ${short(row.id)}`} onClick=${() => deploy(row)}>Deploy…</button>`,
  };
  return [
    {
      key: "choose",
      label: html`<span className="me-unseen">Choose</span>`,
      className: "me-narrow-cell",
      render: ({id, name}) => html`<input type="checkbox" checked=${chosen.includes(id)}
        disabled=${full && !chosen.includes(id)} onChange=${() => choose(id)}
        aria-label=${`Choose ${name || "model"} ${short(id)}`} />`,
    },
    {
      key: "model",
      label: "Model",
      rowHeader: true,
      className: "me-tight",
      render: (row) => html`<${ModelName} model=${row} />`,
    },
    {
      key: "tags",
      label: "Tags",
      className: "me-tags-cell",
      render: ({tags}) => html`<${Tags} tags=${tags} without=${["canonical_name"]} onPick=${pick} />`,
    },
    {
      key: "created",
      label: "Saved",
      sort: "created",
      className: "me-tight",
      render: ({created_at: at, by}) => html`<time dateTime=${at} title=${`${moment(at)}, by ${by}`}>${date(at)}</time>`,
    },
    ...columns.map((metric) => ({
      key: `metric ${metric}`,
      label: metric,
      align: "end",
      sort: `metric:${metric}`,
      className: "me-tight",
      render: ({metrics}) => measured(metrics[metric]),
    })),
    {key: "source", label: "Source", render: ({source}) => html`
      <span className="me-clip"><${RunLink} run=${source} /></span>`},
    {key: "services", label: "Deployed", render: ({services}) => html`<${Services} services=${services} />`},
    ...(deploy ? [deploying] : []),
  ];
}

/** A model's name and id, as a link to it. */
export function ModelName({model}) {
  const {id, name, archived} = model;
  return html`<span className="me-name">
    <${Link} to=${["m", id]}>${name || short(id)}<//>
    ${name && html`<code className="me-muted me-small">${short(id)}</code>`}
    ${archived && html`<${Badge}>archived<//>`}
  </span>`;
}

/** The services that run a model, or are about to. */
export function Services({services}) {
  return html`<span className="me-tags">${services.map(({name, live, url}) => html`
    <${Link} key=${name} to=${["services", name]} title=${url ?? ""}>
      <${Badge} tone=${live ? "good" : "busy"} icon=${live ? "check" : "clock"}>${name}<//>
    <//>`)}</span>`;
}
