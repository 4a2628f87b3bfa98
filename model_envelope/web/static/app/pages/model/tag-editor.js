/** A model's tags, and changing them in place. */

import {html, useState} from "../../host.js";
import {send} from "../../api.js";
import {useAction} from "../../data.js";
import {clauseOf} from "../../query-text.js";
import {useGo, useSession} from "../../state.js";
import {Tag} from "../../parts/chips.js";
import {Icon} from "../../parts/icon.js";
import {ProblemBox} from "../../parts/problem.js";

/** @param {{model: Object, onChange: () => void}} props */
export function TagEditor({model, onChange}) {
  const {may} = useSession();
  const [editing, setEditing] = useState(false);
  const go = useGo();
  const find = (key, value, exclude) => go("", {q: clauseOf(key, value, exclude)});
  if (editing) {
    const close = (changed) => {
      setEditing(false);
      if (changed) onChange();
    };
    return html`<${Editor} model=${model} onClose=${close} />`;
  }
  const entries = Object.entries(model.tags);
  return html`<div className="me-row">
    <span className="me-tags">${entries.map(([key, value]) => html`
      <${Tag} key=${key} name=${key} value=${value} onPick=${find} />`)}</span>
    ${!entries.length && html`<span className="me-muted">No tags</span>`}
    ${may.change && html`<button type="button" className="me-icon-button" title="Edit tags"
      aria-label="Edit tags" onClick=${() => setEditing(true)}><${Icon} name="edit" /></button>`}
  </div>`;
}

function Editor({model, onClose}) {
  const [rows, setRows] = useState(() => Object.entries(model.tags));
  const [save, saving] = useAction(async () => {
    const {set, removed} = difference(model.tags, rows);
    if (removed.length || Object.keys(set).length) {
      await send("PATCH", ["models", model.id], {set_tags: set, remove_tags: removed});
    }
    onClose(true);
  });
  const change = (at, which, text) =>
    setRows(rows.map((row, i) => (i === at ? row.with(which, text) : row)));
  const submit = (event) => {
    event.preventDefault();
    save();
  };
  const leave = (event) => event.key === "Escape" && onClose(false);
  return html`<form className="me-tag-editor" onSubmit=${submit} onKeyDown=${leave}>
    ${rows.map(([key, value], at) => html`<div key=${at} className="me-tag-row">
      <input className="me-input" value=${key} aria-label=${`Key of tag ${at + 1}`} placeholder="key"
        onChange=${(event) => change(at, 0, event.target.value)} />
      <input className="me-input" value=${value} aria-label=${`Value of ${key || `tag ${at + 1}`}`}
        placeholder="value" onChange=${(event) => change(at, 1, event.target.value)} />
      <button type="button" className="me-icon-button" aria-label=${`Remove ${key || "this tag"}`}
        title="Remove" onClick=${() => setRows(rows.toSpliced(at, 1))}><${Icon} name="cross" /></button>
    </div>`)}
    ${saving.problem && html`<${ProblemBox} problem=${saving.problem} />`}
    <div className="me-row">
      <button type="button" className="me-button" onClick=${() => setRows([...rows, ["", ""]])}>
        <${Icon} name="plus" />Add a tag</button>
      <button type="submit" className="me-button me-primary" disabled=${saving.busy}>
        ${saving.busy ? "Saving…" : "Save tags"}</button>
      <button type="button" className="me-button" onClick=${() => onClose(false)}>Cancel</button>
    </div>
  </form>`;
}

function difference(tags, rows) {
  const wanted = Object.fromEntries(rows.filter(([key, value]) => key || value));
  return {
    set: Object.fromEntries(Object.entries(wanted).filter(([key, value]) => tags[key] !== value)),
    removed: Object.keys(tags).filter((key) => !Object.hasOwn(wanted, key)),
  };
}
