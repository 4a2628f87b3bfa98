/** How one thing differs from another: what is new, gone and other. */

import {html} from "../host.js";
import {Badge} from "./badge.js";
import {Table} from "./table.js";

/**
 * @param {{label: string, name: string, of: {added: Object, removed: Object, changed: Object, same: number},
 *   text?: (value: any) => any}} props `name`: what the keys are
 */
export function Changes({label, name, of, text = shown}) {
  const rows = [
    ...Object.entries(of.changed).map(([key, [before, after]]) => ({key, how: "changed", before, after})),
    ...Object.entries(of.added).map(([key, after]) => ({key, how: "new", after})),
    ...Object.entries(of.removed).map(([key, before]) => ({key, how: "gone", before})),
  ];
  if (!rows.length) return null;
  return html`<${Table} label=${label} rows=${rows} keyOf=${(row) => row.key} columns=${[
    {key: "key", label: name, rowHeader: true, className: "me-any"},
    {key: "how", label: "Difference", render: ({how}) => html`<${Badge}
      tone=${{new: "good", gone: "bad", changed: "busy"}[how]}>${how}<//>`},
    {key: "before", label: "Before", className: "me-any", render: ({before}) => (before === undefined ? "–" : text(before))},
    {key: "after", label: "Now", className: "me-any", render: ({after}) => (after === undefined ? "–" : text(after))},
  ]} />`;
}

export const isSame = ({added, removed, changed}) =>
  [added, removed, changed].every((one) => Object.keys(one).length === 0);

const shown = (value) => (typeof value === "string" ? value || "–" : JSON.stringify(value));
