/** Tables that scroll inside their own frame. */

import {html} from "../host.js";
import {Icon} from "./icon.js";

/**
 * @typedef {Object} Column
 * @property {string} key
 * @property {any} label
 * @property {(row: any) => any} [render] what stands in the cell; by default `row[key]`
 * @property {"end"} [align] numbers
 * @property {boolean} [rowHeader] names the row
 * @property {string} [sort] sorting by it is `sort`, and `-sort` from the greatest down
 * @property {string} [title] explains the column
 * @property {string} [className]
 */

/**
 * @param {{label: string, columns: Column[], rows: any[], keyOf: (row: any) => string,
 *   sort?: string, onSort?: (sort: string) => void, chosen?: (row: any) => boolean,
 *   className?: string}} props `label` is read to who cannot see the table
 */
export function Table({label, columns, rows, keyOf, sort, onSort, chosen, className = ""}) {
  return html`<div className=${`me-table-frame ${className}`} role="region" aria-label=${label} tabIndex=${0}>
    <table className="me-table">
      <caption className="me-unseen">${label}</caption>
      <thead><tr>${columns.map((column) => html`
        <${Header} key=${column.key} column=${column} sort=${sort} onSort=${onSort} />`)}
      </tr></thead>
      <tbody>${rows.map((row) => html`
        <tr key=${keyOf(row)} className=${chosen?.(row) ? "me-chosen" : ""}>
          ${columns.map((column) => html`<${Cell} key=${column.key} column=${column} row=${row} />`)}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

function Cell({column, row}) {
  const content = column.render ? column.render(row) : row[column.key];
  const name = classOf(column);
  return column.rowHeader
    ? html`<th scope="row" className=${name}>${content}</th>`
    : html`<td className=${name}>${content}</td>`;
}

function Header({column, sort, onSort}) {
  const name = classOf(column);
  if (!column.sort || !onSort) {
    return html`<th scope="col" className=${name} title=${column.title}>${column.label}</th>`;
  }
  const down = sort === `-${column.sort}`;
  const up = sort === column.sort;
  // What is newest or greatest is asked for first.
  const next = down ? column.sort : `-${column.sort}`;
  return html`<th scope="col" className=${name} title=${column.title}
      aria-sort=${down ? "descending" : up ? "ascending" : "none"}>
    <button type="button" className="me-sort" onClick=${() => onSort(next)}>
      ${column.label}${(down || up) && html`<${Icon} name=${down ? "down" : "up"} />`}
    </button>
  </th>`;
}

const classOf = ({align, className = ""}) => `${align === "end" ? "me-end" : ""} ${className}`.trim();
