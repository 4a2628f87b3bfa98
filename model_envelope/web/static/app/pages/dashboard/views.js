/** Saved views: this page's address under a name, for everybody who uses the store. */

import {html, useLocation, useNavigate, useState} from "../../host.js";
import {send} from "../../api.js";
import {useAction, useData} from "../../data.js";
import {useSession} from "../../state.js";
import {Dialog} from "../../parts/dialog.js";
import {Field} from "../../parts/field.js";
import {Icon} from "../../parts/icon.js";
import {Menu} from "../../parts/menu.js";
import {ProblemBox} from "../../parts/problem.js";

export function SavedViews() {
  const {pathname, search} = useLocation();
  const navigate = useNavigate();
  const {may} = useSession();
  const views = useData("views");
  const [saving, setSaving] = useState(false);
  const items = views.data?.items ?? [];
  return html`<${Menu} label="Views">
      ${items.length === 0 && html`<p className="me-muted">No view was saved yet.</p>`}
      ${items.map(({name, search: saved, by}) => html`<div key=${name} className="me-row">
        <button type="button" className="me-link-button" title=${by && `by ${by}`}
          onClick=${() => navigate({pathname, search: saved})}>${name}</button>
        ${may.change && html`<${Remove} name=${name} onDone=${views.reload} />`}</div>`)}
      <button type="button" disabled=${!may.change} onClick=${() => setSaving(true)}>Save this view…</button>
    <//>
    ${saving && html`<${SaveDialog} search=${search} onClose=${() => setSaving(false)} onDone=${views.reload} />`}`;
}

function Remove({name, onDone}) {
  const [remove, removing] = useAction(async () => {
    await send("DELETE", ["views", name]);
    onDone();
  });
  return html`<button type="button" className="me-icon-button" aria-label=${`Remove the view ${name}`}
    disabled=${removing.busy} onClick=${remove}><${Icon} name="cross" /></button>`;
}

function SaveDialog({search, onClose, onDone}) {
  const [name, setName] = useState("");
  const [save, saving] = useAction(async () => {
    await send("PUT", ["views", name.trim()], {search});
    onDone();
    onClose();
  });
  return html`<${Dialog} open title="Save this view" onClose=${onClose} footer=${html`
      <button type="button" className="me-button" onClick=${onClose}>Cancel</button>
      <button type="button" className="me-button me-primary" disabled=${!name.trim() || saving.busy} onClick=${save}>Save</button>`}>
    <${Field} label="Name" hint="It keeps the query: who opens it sees what matches then.">
      ${(control) => html`<input ...${control} className="me-input" autoFocus value=${name}
        onChange=${(event) => setName(event.target.value)} />`}<//>
    ${saving.problem && html`<${ProblemBox} problem=${saving.problem} />`}
  <//>`;
}
