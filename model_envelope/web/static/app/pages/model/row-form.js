/** A form for one row of a signature. */

import {html} from "../../host.js";
import {Field} from "../../parts/field.js";

const WHOLE = /^u?int\d+$/;
const REAL = /^(halffloat|half_float|float|double|float\d+|decimal.*)$/;
const TEXT = /^(string|large_string|string_view|timestamp.*|date.*|time.*|duration.*|dictionary.*)$/;

/** The examples of a signature as they are typed. */
export const exampleOf = (columns) =>
  Object.fromEntries(columns.map(({name, type, example}) => [name, typed(type, example)]));

function typed(type, example) {
  if (example === null || example === undefined) return "";
  return typeof example === "string" ? example : JSON.stringify(example);
}

/**
 * A row as JSON, and what is wrong with it, by column. Numbers stay as they were typed: JavaScript
 * would round large ones.
 * @returns {{json: string, problems: Map<string, string>}}
 */
export function rowText(columns, row) {
  const problems = new Map();
  const parts = columns.map((column) => {
    const {value, problem} = valueOf(column, row[column.name] ?? "");
    if (problem) problems.set(column.name, problem);
    return `${JSON.stringify(column.name)}: ${value}`;
  });
  return {json: `{${parts.join(", ")}}`, problems};
}

function valueOf({type, nullable}, text) {
  const given = text.trim();
  if (given === "" && nullable) return {value: "null"};
  if (TEXT.test(type)) return {value: JSON.stringify(text)};
  if (given === "") return {value: "null", problem: "A value is needed."};
  if (WHOLE.test(type)) {
    return /^[+-]?\d+$/.test(given) ? {value: given.replace(/^\+/, "").replace(/^(-?)0+(?=\d)/, "$1")}
      : {value: "null", problem: "A whole number is needed."};
  }
  if (REAL.test(type)) {
    return Number.isFinite(Number(given)) ? {value: String(Number(given))}
      : {value: "null", problem: "A number is needed."};
  }
  if (type === "bool") {
    return /^(true|false)$/.test(given) ? {value: given} : {value: "null", problem: "true or false."};
  }
  try {
    JSON.parse(given);
    return {value: given};
  } catch {
    return {value: "null", problem: "JSON is needed, such as [1, 2]."};
  }
}

/** @param {{columns: Object[], row: Object, onChange: (row: Object) => void, problems: Map}} props */
export function RowForm({columns, row, onChange, problems}) {
  return html`<div className="me-fields">${columns.map(({name, type, nullable}) => html`
    <${Field} key=${name} label=${name} hint=${`${type}${nullable ? ", empty if missing" : ""}`}
        error=${problems.get(name)}>
      ${(control) => html`<input ...${control} className="me-input" value=${row[name] ?? ""}
        inputMode=${WHOLE.test(type) || REAL.test(type) ? "decimal" : undefined} autoComplete="off"
        spellCheck=${false} onChange=${(event) => onChange({...row, [name]: event.target.value})} />`}
    <//>`)}</div>`;
}
