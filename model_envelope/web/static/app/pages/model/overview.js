/** What a model is, in a few lines. */

import {html, useContext, useEffect, useState} from "../../host.js";
import {airflowHas, send} from "../../api.js";
import {useAction} from "../../data.js";
import {bytes, short} from "../../format.js";
import {Place, useSession} from "../../state.js";
import {Badge} from "../../parts/badge.js";
import {CopyButton} from "../../parts/copy.js";
import {Snippet} from "../../parts/empty.js";
import {Icon} from "../../parts/icon.js";
import {Link, RunLink} from "../../parts/link.js";
import {Section} from "../../parts/page.js";
import {ProblemBox} from "../../parts/problem.js";
import {Time} from "../../parts/time.js";

const REPRODUCIBLE = {
  proved: ["good", "check", "A rebuilt environment gave the saved outputs again."],
  failed: ["bad", "cross", "A rebuilt environment did not give the saved outputs."],
  unproved: ["quiet", "unknown", "Nobody has tried yet: model-envelope verify tries it."],
};

/** @param {{model: Object, onChange: () => void}} props */
export function Overview({model, onChange}) {
  const {provenance: from, environment} = model;
  const [tone, icon, meaning] = REPRODUCIBLE[model.reproducible] ?? ["quiet", "unknown", ""];
  return html`<div className="me-halves">
    <div className="me-stack">
      <${Description} model=${model} onChange=${onChange} />
      <dl className="me-facts">
        <dt>Id</dt><dd className="me-row"><code>${model.id}</code>
          <${CopyButton} text=${model.id} label="Copy the id" /></dd>
        <dt>Saved</dt><dd><${Time} at=${model.created_at} exact /> by ${model.by}</dd>
        <dt>Saved by task</dt><dd><${Source} run=${model.source} /></dd>
        <dt>Code</dt><dd>${from.git_commit
          ? html`<code>${from.git_commit.slice(0, 12)}</code>${from.git_dirty && " with uncommitted changes"}`
          : html`<span className="me-muted">not in a git repository</span>`}</dd>
        <dt>Machine</dt><dd>${from.host}</dd>
        <dt>Environment</dt><dd>Python ${environment.python}, ${environment.platform},
          ${" "}${environment.distributions.length} packages</dd>
        <dt>Reproducible</dt><dd><${Badge} tone=${tone} icon=${icon}>${model.reproducible}<//>
          ${" "}<span className="me-muted">${model.reproducible_reason || meaning}</span></dd>
        <dt>Size</dt><dd>${bytes(model.size)}</dd>
        ${model.modules.length > 0 && html`<dt>Own modules</dt><dd>${model.modules.join(", ")}</dd>`}
        <dt>Previous</dt><dd>${model.previous
          ? html`<${Link} to=${["m", model.previous]}><code>${short(model.previous)}</code><//>`
          : html`<span className="me-muted">the first of its name</span>`}</dd>
        ${model.needed_by.length > 0 && html`<dt>Needed by</dt><dd>${model.needed_by.map((name, at) => html`
          ${at > 0 && ", "}<${Link} key=${name} to=${["services", name]}>${name}<//>`)}</dd>`}
      </dl>
    </div>
    <div className="me-stack">
      <${Hyperparameters} values=${model.hyperparameters} />
      <${Section} title="Use it">
        <${Snippet} code=${`import model_envelope as me

model = me.get("${model.id}")
model.predict(frame)`} />
      <//>
      <${Archiving} model=${model} onChange=${onChange} />
    </div>
  </div>`;
}

/** The task that saved a model, as a link while Airflow has its run. */
function Source({run}) {
  const {inAirflow} = useContext(Place);
  const [gone, setGone] = useState(false);
  useEffect(() => {
    if (!inAirflow || !run) return undefined;
    const aborting = new AbortController();
    // Without an answer the link stays: Airflow says itself what it leads to.
    airflowHas(run, aborting.signal).then((there) => setGone(!there), () => {});
    return () => aborting.abort();
  }, [inAirflow, run?.dag_id, run?.run_id]);
  if (!run) return html`<${RunLink} run=${null} />`;
  return html`${gone ? `${run.dag_id} / ${run.task_id}` : html`<${RunLink} run=${run} />`}
    <br /><span className="me-muted me-small">${run.run_id}${gone
      && ". Airflow has this run no more, or you may not see it: its DAG may have been deleted."}</span>`;
}

function Description({model, onChange}) {
  const {may} = useSession();
  const [text, setText] = useState(null);
  const [save, saving] = useAction(async () => {
    await send("PATCH", ["models", model.id], {description: text});
    setText(null);
    onChange();
  });
  if (text === null) {
    return html`<p className="me-description">
      ${model.description || html`<span className="me-muted">No description</span>`}
      ${may.change && html` <button type="button" className="me-icon-button" aria-label="Edit the description"
        title="Edit the description" onClick=${() => setText(model.description)}><${Icon} name="edit" /></button>`}
    </p>`;
  }
  return html`<div className="me-stack">
    <textarea className="me-input" rows="3" aria-label="Description" value=${text}
      onChange=${(event) => setText(event.target.value)} />
    ${saving.problem && html`<${ProblemBox} problem=${saving.problem} />`}
    <div className="me-row">
      <button type="button" className="me-button me-primary" disabled=${saving.busy} onClick=${save}>Save</button>
      <button type="button" className="me-button" onClick=${() => setText(null)}>Cancel</button>
    </div>
  </div>`;
}

function Hyperparameters({values}) {
  const entries = Object.entries(values);
  return html`<${Section} title="Hyperparameters">
    ${entries.length
      ? html`<dl className="me-facts me-numbers">${entries.map(([name, value]) => html`
          <dt key=${`${name} name`}>${name}</dt><dd key=${name}>${
            typeof value === "string" ? value : JSON.stringify(value)}</dd>`)}</dl>`
      : html`<p className="me-muted">None were logged.</p>`}
  <//>`;
}

function Archiving({model, onChange}) {
  const {may} = useSession();
  const [flip, doing] = useAction(async () => {
    await send("PATCH", ["models", model.id], {archived: !model.archived});
    onChange();
  });
  if (!may.change) return null;
  return html`<${Section} title=${model.archived ? "Archived" : "Archive"}>
    <p className="me-muted">${model.archived
      ? "Queries leave it out unless they ask for archived ones, and rules do not deploy it."
      : "An archived model stays, but queries and rules leave it out. It can be taken back."}</p>
    ${doing.problem && html`<${ProblemBox} problem=${doing.problem} />`}
    <div><button type="button" className="me-button" disabled=${doing.busy} onClick=${flip}>
      ${model.archived ? "Take back" : "Archive"}</button></div>
  <//>`;
}
