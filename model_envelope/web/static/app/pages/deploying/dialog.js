/** Deploying one model by hand: a form, what it would do, and what became of it. */

import {html, useMemo, useState} from "../../host.js";
import {useAction, useData} from "../../data.js";
import {begin, whyNotDeploy} from "../../deploying.js";
import {short} from "../../format.js";
import {usePreview} from "../../preview.js";
import {useSession} from "../../state.js";
import {Dialog} from "../../parts/dialog.js";
import {Field, Select} from "../../parts/field.js";
import {ProblemBox} from "../../parts/problem.js";
import {Following} from "./following.js";

const NAME = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * @param {{envelope: {id: string, name: string}, onClose: () => void}} props
 */
export function DeployDialog({envelope, onClose}) {
  const session = useSession();
  const services = useData("services");
  const [form, setForm] = useState({service: "", target: "", replicas: "", options: "", reason: ""});
  const known = services.data?.items.find(({name}) => name === form.service);
  const wish = useMemo(() => wishOf(envelope.id, form), [envelope.id, form]);
  const preview = usePreview("deployments/preview", wish.problem ? null : wish.body);
  const [deploy, doing] = useAction(() => begin(session, {action: "deploy", ...wish.body}));
  const set = (name) => (value) => setForm((was) => ({...was, [name]: value}));
  const refused = whyNotDeploy(session);
  const ready = preview.of && preview.data && !refused && !doing.busy;
  const title = `Deploy ${envelope.name || "model"} ${short(envelope.id)}`;
  if (doing.done) {
    return html`<${Dialog} open title=${title} onClose=${onClose}
        footer=${html`<button type="button" className="me-button" onClick=${onClose}>Close</button>`}>
      <${Following} begun=${doing.done} />
    <//>`;
  }
  const footer = html`
    <button type="button" className="me-button" onClick=${onClose}>Cancel</button>
    <button type="button" className="me-button me-primary" disabled=${!ready} onClick=${deploy}>
      ${doing.busy ? "Starting…" : "Deploy"}</button>`;
  return html`<${Dialog} open title=${title} onClose=${onClose} footer=${footer}>
    ${refused && html`<p className="me-note me-warn">${refused}</p>`}
    <${Form} form=${form} set=${set} services=${services.data?.items ?? []} known=${known}
      targets=${session.targets} problem=${wish.problem} />
    ${doing.problem && html`<${ProblemBox} problem=${doing.problem} />`}
    <${Preview} preview=${preview} asked=${!wish.problem && form.service !== ""} />
  <//>`;
}

function Form({form, set, services, known, targets, problem}) {
  const typed = (name) => (event) => set(name)(event.target.value);
  const wrong = (field) => (problem?.field === field ? problem.message : undefined);
  return html`
    <${Field} label="Service" error=${form.service ? wrong("service") : undefined}
        hint=${known ? `Runs ${known.live ? short(known.live.envelope) : "nothing"} now.` : "Its name is part of its URL."}>
      ${(control) => html`<input ...${control} className="me-input" list="me-services"
        value=${form.service} placeholder="ltv-us" spellCheck=${false} autoComplete="off"
        onChange=${typed("service")} />`}
    <//>
    <datalist id="me-services">${services.map(({name}) => html`<option key=${name} value=${name} />`)}</datalist>
    <div className="me-fields">
      <${Select} label="Where" value=${form.target} onChange=${set("target")}
        options=${[{value: "", label: known ? `as it is: ${known.target.kind}` : "process, as usual"}, ...targets]} />
      <${Field} label="Replicas" error=${wrong("replicas")} hint="As before unless given.">
        ${(control) => html`<input ...${control} className="me-input" inputMode="numeric"
          value=${form.replicas} onChange=${typed("replicas")} />`}
      <//>
    </div>
    <${Field} label="Why" hint="For the ledger.">
      ${(control) => html`<input ...${control} className="me-input" value=${form.reason} onChange=${typed("reason")} />`}
    <//>
    <details className="me-details"><summary>More options of the target</summary>
      <${Field} label="As JSON" error=${wrong("options")} hint=${html`For example <code>${'{"limits": {"deadline_seconds": 5}}'}</code>`}>
        ${(control) => html`<textarea ...${control} className="me-input me-code" rows=${3}
          value=${form.options} spellCheck=${false} onChange=${typed("options")} />`}
      <//>
    </details>`;
}

/** What deploying would change, said before it is done. */
function Preview({preview, asked}) {
  const {data, problem, of} = preview;
  if (!asked) return null;
  if (problem && of) return html`<${ProblemBox} problem=${problem} />`;
  if (!data) return html`<p className="me-muted" aria-busy="true">Looking what that would do…</p>`;
  const {action, replaces, url, schema_changes: schema, warnings} = data;
  return html`<div className=${`me-note ${of ? "" : "me-stale"}`} aria-busy=${!of} role="status">
    <p>${action === "keep"
      ? "It runs this very model already."
      : replaces
        ? html`Replaces <code>${short(replaces.envelope)}</code>, which stays available for rollback.`
        : "Begins a new service."}</p>
    ${url && html`<p>It answers on <code className="me-any">${url}</code></p>`}
    <${SchemaChanges} changes=${schema} />
    ${(warnings ?? []).map((warning) => html`<p key=${warning} className="me-warn">${warning}</p>`)}
  </div>`;
}

function SchemaChanges({changes}) {
  if (!changes) return null;
  const {added, removed, changed} = {added: {}, removed: {}, changed: {}, ...changes};
  // Of a function that comes or goes, its columns are not told one by one.
  const alone = (group, name) => !Object.keys(group).some((other) => name.startsWith(`${other}.`));
  const told = [
    ...Object.entries(added).filter(([name]) => alone(added, name)).map(([name, type]) => `${name} is new (${type})`),
    ...Object.keys(removed).filter((name) => alone(removed, name)).map((name) => `${name} is gone`),
    ...Object.entries(changed).map(([name, [was, is]]) => `${name} was ${was}, is ${is}`),
  ];
  if (!told.length) return null;
  return html`<div><p>Its schema differs:</p>
    <ul className="me-list">${told.map((one) => html`<li key=${one}>${one}</li>`)}</ul></div>`;
}

/** The form as a request, or what is wrong with it. */
function wishOf(envelope, {service, target, replicas, options, reason}) {
  const wrong = (field, message) => ({problem: {field, message}});
  if (!NAME.test(service)) {
    return wrong("service", "Lower-case letters, digits and hyphens, beginning with a letter.");
  }
  let given;
  try {
    given = JSON.parse(options.trim() || "{}");
  } catch (error) {
    return wrong("options", `This is no JSON: ${error.message}`);
  }
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    return wrong("options", "This is no JSON object.");
  }
  if (replicas.trim() !== "") {
    if (!/^[1-9]\d{0,2}$/.test(replicas.trim())) return wrong("replicas", "A whole number, at least 1.");
    given = {...given, replicas: Number(replicas)};
  }
  // No options at all means those that it has.
  const own = Object.keys(given).length ? given : null;
  return {body: {envelope, service, target: target || null, options: own, reason}};
}
