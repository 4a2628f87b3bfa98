/** What a rule says, as fields. Gates and rollout are JSON: there are as many kinds as packages. */

import {html} from "../../host.js";
import {Field, Select} from "../../parts/field.js";
import {Misread} from "../../parts/query-box.js";

const ORDERS = [
  {value: "latest", label: "the newest"},
  {value: "max", label: "the greatest value of"},
  {value: "min", label: "the least value of"},
];

const LINE = 90;

/** A rule's text fields. JSON stays text while it is written. */
export const formOf = ({target, gates, rollout, select, ...rest}) => {
  const [order, metric = ""] = select.split(" ");
  return {
    ...rest,
    order,
    metric: metric.replace(/^metric\./, ""),
    kind: target.kind,
    options: written(target.options ?? {}),
    gates: written(gates),
    rollout: written(rollout ?? {}),
  };
};

/** The rule of a form, and what is no JSON in it. @returns {{spec: Object|null, wrong: Object}} */
export function specOf({order, metric, kind, options, gates, rollout, ...rest}) {
  const wrong = {};
  const read = (name, text) => {
    try {
      return JSON.parse(text.trim() || "null");
    } catch (error) {
      wrong[name] = `This is no JSON: ${error.message}`;
      return null;
    }
  };
  const spec = {
    ...rest,
    select: order === "latest" ? "latest" : `${order} metric.${metric}`,
    target: {kind, options: read("target", options) ?? {}},
    gates: read("gates", gates) ?? [],
    rollout: read("rollout", rollout) ?? {},
  };
  return {spec: Object.keys(wrong).length ? null : spec, wrong};
}

/** JSON on one line while that can be read. */
function written(value) {
  const line = JSON.stringify(value, null, 1).replace(/\n */g, " ").replace(/([[{]) | ([\]}])/g, "$1$2");
  return line.length <= LINE ? line : JSON.stringify(value, null, 2);
}

/**
 * @param {{form: Object, set: (changes: Object) => void, wrong: Object<string, {message: string,
 *   position?: number}>, isNew: boolean, targets: string[], metrics: string[]}} props
 */
export function RuleForm({form, set, wrong, isNew, targets, metrics}) {
  const text = (name) => ({value: form[name], spellCheck: false, autoComplete: "off",
    onChange: (event) => set({[name]: event.target.value})});
  const said = (name) => (form[name] === "" ? undefined : wrong[name]?.message);
  return html`<div className="me-stack">
    <div className="me-fields">
      <${Field} label="Name" error=${said("name")} hint=${isNew ? "Of the rule." : "It cannot be changed."}>
        ${(control) => html`<input ...${control} className="me-input" disabled=${!isNew} ...${text("name")} />`}<//>
      <${Field} label="Service" error=${said("service")} hint="Part of its URL; one service has one rule.">
        ${(control) => html`<input ...${control} className="me-input" ...${text("service")} />`}<//>
      <${Field} label="Owner" error=${said("owner")} hint="Who is told when it fails.">
        ${(control) => html`<input ...${control} className="me-input" ...${text("owner")} />`}<//>
    </div>
    <${Field} label="When" hint="A tag query. Of the models that match, one runs.">
      ${(control) => html`<textarea ...${control} className="me-input me-code" rows=${2} data-me-query="" ...${text("when")} />`}<//>
    ${wrong.when && form.when && html`<${Misread} id="me-when-misread" query=${form.when} problem=${wrong.when} />`}
    <div className="me-fields">
      <${Select} label="Take" value=${form.order} options=${ORDERS} error=${wrong.select?.message}
        onChange=${(order) => set({order})} />
      ${form.order !== "latest" && html`<${Field} label="Metric" hint="Models without it do not count.">
        ${(control) => html`<input ...${control} className="me-input" list="me-metrics" ...${text("metric")} />`}<//>
        <datalist id="me-metrics">${metrics.map((name) => html`<option key=${name} value=${name} />`)}</datalist>`}
      <${Select} label="Where" value=${form.kind} options=${kinds(targets, form.kind)} onChange=${(kind) => set({kind})} />
    </div>
    <details className="me-details" open=${hasMore(form) || undefined}>
      <summary>Options, gates and rollout, as JSON</summary>
      <div className="me-stack">
        <${Json} label="Options of the target" name="options" text=${text} error=${wrong.target?.message}
          hint='{"replicas": 2}' />
        <${Json} label="Gates" name="gates" text=${text} error=${wrong.gates?.message}
          hint='["reproducible", {"metric": "metric.rmse < 25"}, {"not_worse": {"metric": "metric.auc"}}]' />
        <${Json} label="Rollout" name="rollout" text=${text} error=${wrong.rollout?.message}
          hint='{"canary": {"share": 0.1}, "shadow": {"share": 0.5}}' />
      </div>
    </details>
  </div>`;
}

const kinds = (targets, kind) => [...new Set([...targets, kind])];

const hasMore = ({options, gates, rollout}) => [options, gates, rollout].some((text) => text.length > 2);

function Json({label, name, text, error, hint}) {
  return html`<${Field} label=${label} error=${error} hint=${html`For example <code className="me-small">${hint}</code>`}>
    ${(control) => html`<textarea ...${control} className="me-input me-code" rows=${Math.min(8, text(name).value.split("\n").length + 1)} ...${text(name)} />`}<//>`;
}
