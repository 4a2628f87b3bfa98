/** Where a tag query is typed; says where it cannot be read. */

import {html, useEffect, useId, useRef, useState} from "../host.js";

/**
 * @param {{value: string, onSubmit: (query: string) => void, problem?: import("../api.js").Problem|null,
 *   label?: string, placeholder?: string, button?: string}} props `problem`: of this very query
 */
export function QueryBox({value, onSubmit, problem, label = "Tag query", button = "Search",
  placeholder = "region == 'US' and metric.validation_auc > 0.9"}) {
  const [text, setText] = useState(value);
  const input = useRef(null);
  const id = useId();
  useEffect(() => setText(value), [value]);
  const submit = (event) => {
    event.preventDefault();
    onSubmit(text.trim());
  };
  const wrong = problem?.status === 422 ? problem : null;
  return html`<form className="me-query" role="search" onSubmit=${submit}>
    <label htmlFor=${id} className="me-unseen">${label}</label>
    <input ref=${input} id=${id} className="me-input me-code" type="text" value=${text}
      placeholder=${placeholder} spellCheck=${false} autoCapitalize="off" autoComplete="off"
      data-me-query="" aria-invalid=${wrong ? true : undefined}
      aria-describedby=${wrong ? `${id}-said` : undefined}
      onChange=${(event) => setText(event.target.value)} />
    <button type="submit" className="me-button me-primary">${button}</button>
    ${text && html`<button type="button" className="me-button" onClick=${() => onSubmit("")}>Clear</button>`}
    ${wrong && html`<${Misread} id=${`${id}-said`} query=${value} problem=${wrong} />`}
  </form>`;
}

/** The query as it was sent, a caret under the place, and the words. */
export function Misread({id, query, problem}) {
  const {position, message, hint} = problem;
  return html`<div className="me-misread" role="alert" id=${id}>
    ${typeof position === "number" && html`<pre aria-hidden="true">${query}${"\n"}${
      " ".repeat(Math.max(0, position))}^</pre>`}
    <p>${message}${typeof position === "number" && html` <span className="me-muted">(column ${position + 1})</span>`}</p>
    ${hint && html`<p>${hint}</p>`}
  </div>`;
}
