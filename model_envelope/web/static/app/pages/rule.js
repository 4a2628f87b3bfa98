/** One rule: what it says, what it would do, and what it said before. */

import {html, useEffect, useState} from "../host.js";
import {send} from "../api.js";
import {useAction, useData} from "../data.js";
import {whyNotChange} from "../deploying.js";
import {usePreview} from "../preview.js";
import {useGo, useSession, useUrl} from "../state.js";
import {State} from "../parts/badge.js";
import {Dialog} from "../parts/dialog.js";
import {Field} from "../parts/field.js";
import {Loaded} from "../parts/loaded.js";
import {Page, Section} from "../parts/page.js";
import {ProblemBox} from "../parts/problem.js";
import {Table} from "../parts/table.js";
import {Time} from "../parts/time.js";
import {RuleForm, formOf, specOf} from "./rules/form.js";
import {Outlook} from "./rules/outlook.js";
import {EMPTY, TEMPLATES} from "./rules/templates.js";

const NEW = "+";
const FIELDS = {template: ""};

export default function Rule({params: {name}}) {
  if (name === NEW) return html`<${NewRule} />`;
  return html`<${KnownRule} name=${name} />`;
}

function NewRule() {
  const [{template}] = useUrl(FIELDS);
  const go = useGo();
  return html`<${Page} title="New rule">
    <${Editor} draft=${TEMPLATES[template]?.spec ?? EMPTY} revision=${0} isNew
      onSaved=${(spec) => go(["rules", spec.name])} />
  <//>`;
}

function KnownRule({name}) {
  const rules = useData("rules");
  const [asking, setAsking] = useState(null);
  const [draft, setDraft] = useState(null);
  const refused = whyNotChange(useSession());
  const rule = rules.data?.items.find((one) => one.name === name);
  const act = (action, label, danger) => html`<button type="button" className=${`me-button ${danger ? "me-danger" : ""}`}
    disabled=${Boolean(refused)} title=${refused} onClick=${() => setAsking(action)}>${label}</button>`;
  const changed = () => {
    setDraft(null);
    rules.reload();
  };
  return html`<${Page} title=${name} actions=${rule && html`
      ${rule.paused ? act("resume", "Resume") : act("pause", "Pause")}${act("remove", "Remove", true)}`}
      heading=${html`<span className="me-row">${name}${rule?.paused && html`<${State} state="paused" />`}</span>`}>
    <${Loaded} of=${rules}>${() => (rule ? html`
      ${rule.paused && html`<p className="me-note me-warn">Paused${rule.pause_reason && `: ${rule.pause_reason.replace(/\.$/, "")}`}.
        What runs goes on until it is resumed.</p>`}
      <${Editor} key=${`${rule.revision} ${draft?.revision}`} rule=${rule} draft=${draft ?? rule}
        revision=${rule.revision} onSaved=${changed} />` : html`<p className="me-note">There is no rule ${name} in force.</p>`)}
    <//>
    <${History} key=${rule?.at} name=${name} rule=${rule} onDraft=${setDraft} />
    ${asking && html`<${Asking} action=${asking} rule=${rule} onClose=${() => setAsking(null)} onDone=${changed} />`}
  <//>`;
}

/** `draft` is what it begins with; `rule` what is in force, null for a new one. */
function Editor({rule, draft, revision, isNew = false, onSaved}) {
  const session = useSession();
  const refused = whyNotChange(session);
  const [form, setForm] = useState(() => formOf(said(draft)));
  const {spec, wrong: noJson} = specOf(form);
  const begun = form.name && form.when && form.service;
  const preview = usePreview("rules/preview", spec && begun ? {spec} : null);
  const wrong = {
    ...(preview.of ? preview.problem?.fields : {}),
    ...Object.fromEntries(Object.entries(noJson).map(([name, message]) => [name, {message}])),
  };
  const metrics = useData("metrics", {q: wrong.when ? "" : form.when});
  const [save, saving] = useAction(async () => {
    const {name, ...rest} = spec;
    await send("PUT", ["rules", name], {spec: rest, base_revision: revision});
    onSaved(spec);
  });
  const same = rule && spec && JSON.stringify(spec) === JSON.stringify(specOf(formOf(said(rule))).spec);
  const ready = spec && preview.of && preview.data && !preview.data.overlap && !refused && !saving.busy && !same;
  return html`<div className="me-rule">
    <form className="me-stack" onSubmit=${(event) => {
      event.preventDefault();
      if (ready) save();
    }}>
      <${RuleForm} form=${form} wrong=${wrong} isNew=${isNew} targets=${session.targets}
        set=${(changes) => setForm((was) => ({...was, ...changes}))}
        metrics=${(metrics.data?.metrics ?? []).filter(({scalar}) => scalar).map(({name}) => name)} />
      ${saving.problem && html`<${ProblemBox} problem=${saving.problem} />`}
      <div className="me-row">
        <button type="submit" className="me-button me-primary" disabled=${!ready} title=${refused}>
          ${isNew ? "Create the rule" : "Save as the next revision"}</button>
        ${!same && !isNew && html`<button type="button" className="me-button"
          onClick=${() => setForm(formOf(said(rule)))}>Discard changes</button>`}
        ${refused && html`<span className="me-muted">${refused}</span>`}
      </div>
    </form>
    <aside className="me-outlook"><h2>Now it would</h2>${begun ? html`<${Outlook} preview=${preview} />`
      : html`<p className="me-muted">Give it a name, a query and a service.</p>`}</aside>
  </div>`;
}

/** What a rule says, without what is known of it. */
const said = (rule) => Object.fromEntries(Object.keys(EMPTY).map((key) => [key, rule[key] ?? EMPTY[key]]));

/** What it said before; any of it can be taken up again, and is then saved as usual. */
function History({name, rule, onDraft}) {
  const history = useData(["rules", name, "history"]);
  const columns = [
    {key: "at", label: "When", rowHeader: true, className: "me-tight", render: ({at}) => html`<${Time} at=${at} exact />`},
    {key: "revision", label: "Revision", align: "end"},
    {key: "actor", label: "By", className: "me-any"},
    {key: "what", label: "What", className: "me-wide-cell me-any", render: ({removed, paused, pause_reason: reason, when, select}) => (
      removed ? "removed" : paused ? `paused${reason ? `: ${reason}` : ""}`
        : html`<code className="me-small">${when}</code> <span className="me-muted">${select}</span>`)},
    {key: "again", label: html`<span className="me-unseen">Take up again</span>`, render: (row) => rule && row.revision !== rule.revision
      && html`<button type="button" className="me-link-button" onClick=${() => onDraft(row)}>Edit it again</button>`},
  ];
  return html`<${Section} title="History"><${Loaded} of=${history}>${({items}) => html`
    <${Table} label="History of the rule" rows=${items} columns=${columns}
      keyOf=${({at, revision}) => `${at} ${revision}`} />`}
  <//><//>`;
}

const ASKED = {
  pause: {title: "Pause", does: "It deploys nothing until it is resumed; what runs goes on.", method: "POST", reason: true},
  resume: {title: "Resume", does: "It does what it says again, at its next look.", method: "POST"},
  remove: {title: "Remove", does: "Its service goes on running what it runs, and is nobody's from then on.", method: "DELETE"},
};

function Asking({action, rule, onClose, onDone}) {
  const {title, does, method, reason: wantsReason} = ASKED[action];
  const [reason, setReason] = useState("");
  const go = useGo();
  const [act, acting] = useAction(() => (method === "DELETE"
    ? send("DELETE", ["rules", rule.name])
    : send("POST", ["rules", rule.name, action], {reason})));
  useEffect(() => {
    if (!acting.done) return;
    onClose();
    if (action === "remove") go("rules");
    else onDone();
  }, [acting.done]);
  return html`<${Dialog} open title=${`${title} ${rule.name}`} onClose=${onClose} footer=${html`
      <button type="button" className="me-button" onClick=${onClose}>Cancel</button>
      <button type="button" className=${`me-button ${action === "remove" ? "me-danger" : "me-primary"}`}
        disabled=${acting.busy} onClick=${act}>${title}</button>`}>
    <p>${does}</p>
    ${wantsReason && html`<${Field} label="Why">${(control) => html`<input ...${control} className="me-input"
      value=${reason} onChange=${(event) => setReason(event.target.value)} />`}<//>`}
    ${acting.problem && html`<${ProblemBox} problem=${acting.problem} />`}
  <//>`;
}
