/** Tags as chips. */

import {html, useState} from "../host.js";

/**
 * One tag. With `onPick`, a click gives it to the query, and an Alt-click takes it away.
 * @param {{name: string, value: string, onPick?: (key: string, value: string,
 *   exclude: boolean) => void}} props
 */
export function Tag({name, value, onPick}) {
  const text = html`<span className="me-tag-key">${name}</span
    ><span className="me-tag-value">${value}</span>`;
  if (!onPick) return html`<span className="me-tag" title=${`${name} = ${value}`}>${text}</span>`;
  const pick = (event) => onPick(name, value, event.altKey);
  const title = `${name} = ${value}: click to show only these, Alt-click to leave them out`;
  return html`<button type="button" className="me-tag" title=${title} onClick=${pick}>${text}</button>`;
}

/**
 * The first few tags, and how many more there are; a click shows all of them.
 * @param {{tags: Object<string, string>, most?: number, without?: string[], onPick?: Function}} props
 */
export function Tags({tags, most = 3, without = [], onPick}) {
  const [all, setAll] = useState(false);
  const entries = Object.entries(tags).filter(([name]) => !without.includes(name));
  const shown = all ? entries : entries.slice(0, most);
  const hidden = entries.length - shown.length;
  return html`<span className="me-tags">
    ${shown.map(([name, value]) => html`
      <${Tag} key=${name} name=${name} value=${value} onPick=${onPick} />`)}
    ${hidden > 0 && html`<button type="button" className="me-tag me-more" aria-label=${`Show ${hidden} more tags`}
      onClick=${() => setAll(true)}>+${hidden}</button>`}
    ${all && entries.length > most && html`<button type="button" className="me-tag me-more"
      onClick=${() => setAll(false)}>fewer</button>`}
  </span>`;
}
