/** Fields of forms: a label, a control, and what is wrong with what stands there. */

import {html, useId} from "../host.js";

/**
 * @param {{label: string, hint?: any, error?: string, children: (control: {id: string,
 *   "aria-describedby"?: string, "aria-invalid"?: boolean}) => any}} props the child gives the
 *   control what it is passed: `${(control) => html`<input ...${control} />`}`
 */
export function Field({label, hint, error, children}) {
  const id = useId();
  const said = error || hint;
  const control = {
    id,
    "aria-describedby": said ? `${id}-said` : undefined,
    "aria-invalid": error ? true : undefined,
  };
  return html`<div className="me-field">
    <label htmlFor=${id}>${label}</label>
    ${children(control)}
    ${said && html`<p id=${`${id}-said`} className=${error ? "me-error" : "me-hint"}>${said}</p>`}
  </div>`;
}

/**
 * @param {{label: string, value: string, options: (string | {value: string, label: string,
 *   disabled?: boolean})[], onChange: (value: string) => void, hint?: any, error?: string}} props
 */
export function Select({label, value, options, onChange, hint, error}) {
  return html`<${Field} label=${label} hint=${hint} error=${error}>${(control) => html`
    <select ...${control} className="me-input" value=${value} onChange=${(event) => onChange(event.target.value)}>
      ${options.map((option) => {
        const {value: given, label: text, disabled} = typeof option === "string"
          ? {value: option, label: option} : option;
        return html`<option key=${given} value=${given} disabled=${disabled}>${text}</option>`;
      })}
    </select>`}
  <//>`;
}
