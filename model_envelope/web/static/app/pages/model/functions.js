/** What can be asked of a model, and asking it where it is live. */

import {html, useId, useMemo, useState} from "../../host.js";
import {sendText} from "../../api.js";
import {useAction} from "../../data.js";
import {duration} from "../../format.js";
import {indented} from "../../json-text.js";
import {useSession} from "../../state.js";
import {Badge} from "../../parts/badge.js";
import {Snippet} from "../../parts/empty.js";
import {Select} from "../../parts/field.js";
import {Section} from "../../parts/page.js";
import {ProblemBox} from "../../parts/problem.js";
import {RowForm, exampleOf, rowText} from "./row-form.js";

/** @param {{model: Object}} props */
export function Functions({model}) {
  return html`<div className="me-stack">${model.functions.map((one) => html`
    <${Section} key=${one.name} title=${one.name}><${QueryFunction} model=${model} of=${one} /><//>`)}</div>`;
}

function QueryFunction({model, of}) {
  const live = model.services.filter((service) => service.live);
  const each = of.rows === "many" ? "many rows at once" : "one row a call";
  const alone = {true: "rows do not influence each other", false: "rows influence each other"}[of.row_independent];
  return html`<div className="me-halves">
    <div className="me-stack">
      ${of.doc ? html`<p className="me-doc">${of.doc}</p>`
        : html`<p className="me-muted">It has no docstring.</p>`}
      <p className="me-muted">Takes ${of.input_kind}, ${each}; gives ${of.output_kind}${alone && `; ${alone}`}.</p>
      <${Snippet} code=${live.length && live[0].url ? curl(live[0].url, of) : python(model, of)} />
    </div>
    <div>${!of.input
      ? html`<p className="me-muted">It was saved without a signature, so there is no form for it.</p>`
      : live.length === 0
        ? html`<p className="me-note">No service runs this model now, so there is nothing to ask. Deploy it,
            and a form is here.</p>`
        : html`<${Run} services=${live} of=${of} />`}</div>
  </div>`;
}

function Run({services, of}) {
  const {may} = useSession();
  const id = useId();
  const [service, setService] = useState(services[0].name);
  const [row, setRow] = useState(() => exampleOf(of.input.columns));
  const text = useMemo(() => rowText(of.input.columns, row), [of, row]);
  const [run, running] = useAction(() => sendText("POST", ["services", service, "call", of.name], text.json));
  const submit = (event) => {
    event.preventDefault();
    if (!text.problems.size) run();
  };
  return html`<form className="me-stack" onSubmit=${submit} aria-labelledby=${id}>
    <h3 id=${id}>Ask the live service</h3>
    ${services.length > 1 && html`<${Select} label="Service" value=${service} onChange=${setService}
      options=${services.map(({name}) => name)} />`}
    <${RowForm} columns=${of.input.columns} row=${row} onChange=${setRow} problems=${text.problems} />
    <div className="me-row">
      <button type="submit" className="me-button me-primary" disabled=${!may.change || running.busy || text.problems.size > 0}
        title=${may.change ? "" : "You may look, but not send anything."}>${running.busy ? "Running…" : "Run"}</button>
    </div>
    ${running.problem && html`<${ProblemBox} problem=${running.problem} />`}
    ${running.done && html`<${Answer} of=${running.done} />`}
  </form>`;
}

function Answer({of: {status, body, seconds, truncated}}) {
  const good = status >= 200 && status < 300;
  return html`<div role="status" className="me-stack">
    <div className="me-row"><${Badge} tone=${good ? "good" : "bad"} icon=${good ? "check" : "cross"}>${status}<//>
      <span className="me-muted">${duration(seconds)}${truncated && ", cut off: it is long"}</span></div>
    <${Snippet} code=${indented(body)} label="Copy the answer" />
  </div>`;
}

const python = ({id}, {name}) => `import model_envelope as me

model = me.get("${id}")
model.${name}(frame)`;

function curl(url, of) {
  const body = of.input ? rowText(of.input.columns, exampleOf(of.input.columns)).json : "{}";
  return `curl ${url.replace(/\/$/, "")}/${of.name} \\\n  -H 'Content-Type: application/json' \\\n  -d '${
    body.replaceAll("'", "'\\''")}'`;
}
