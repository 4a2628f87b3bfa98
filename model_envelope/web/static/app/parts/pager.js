/** Pages of a list that is read by cursors. */

import {html} from "../host.js";
import {count} from "../format.js";
import {Icon} from "./icon.js";

const BEFORE = "model-envelope-before:";

/**
 * Previous and Next. A cursor only leads forward, so this tab remembers which page came before
 * which; from the page of a copied link, Previous leads to the first.
 *
 * @param {{next: string|null, cursor: string, from?: number, shown: number, matched?: number,
 *   onTurn: (cursor: string, from: number) => void}} props `from`: how many were before this page
 */
export function Pager({next, cursor, from = 0, shown, matched, onTurn}) {
  if (!cursor && !next) return null;
  const forward = () => {
    sessionStorage.setItem(BEFORE + next, JSON.stringify([cursor, from]));
    onTurn(next, from + shown);
  };
  const back = () => onTurn(...JSON.parse(sessionStorage.getItem(BEFORE + cursor) ?? '["", 0]'));
  return html`<nav className="me-pager" aria-label="Pages of the list">
    <span className="me-muted me-numbers">
      ${count(from + 1)}–${count(from + shown)}${matched !== undefined && ` of ${count(matched)}`}
    </span>
    <button type="button" className="me-button" disabled=${!cursor} onClick=${back}>
      <${Icon} name="left" />Previous</button>
    <button type="button" className="me-button" disabled=${!next} onClick=${forward}>
      Next<${Icon} name="right" /></button>
  </nav>`;
}
