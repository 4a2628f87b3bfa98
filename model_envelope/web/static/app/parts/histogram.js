/** Small drawings of distributions, as inline SVG: a table may have hundreds of them. */

import {html} from "../host.js";
import {count, number} from "../format.js";

const WIDTH = 120;
const HEIGHT = 28;

/**
 * @param {{edges: number[], counts: number[], against?: number[]|null, text?: (edge: number) => string}}
 *   props `against`: the counts of another model over the same edges, drawn as a line
 */
export function Histogram({edges, counts, against, text = number}) {
  const step = WIDTH / counts.length;
  const shares = sharesOf(counts);
  const others = against ? sharesOf(against) : [];
  const most = Math.max(...shares, ...others, 1e-9);
  const y = (share) => HEIGHT - (share / most) * (HEIGHT - 2);
  const from = text(edges[0]);
  const to = text(edges[edges.length - 1]);
  const line = others.map((share, at) => `${at ? "L" : "M"}${at * step} ${y(share)}H${(at + 1) * step}`).join("");
  return html`<svg className="me-histogram" width=${WIDTH} height=${HEIGHT} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`}
      role="img" aria-label=${`From ${from} to ${to}, most in the bin of ${count(Math.max(...counts))}`}>
    <title>${from} … ${to}</title>
    ${shares.map((share, at) => share > 0 && html`<rect key=${at} x=${at * step + 0.5}
      width=${Math.max(step - 1, 0.5)} y=${y(share)} height=${HEIGHT - y(share)} />`)}
    ${against && html`<path d=${line} />`}
    <line x1="0" x2=${WIDTH} y1=${HEIGHT - 0.5} y2=${HEIGHT - 0.5} />
  </svg>`;
}

/** How often each of the most frequent values is, as bars with their names. */
export function Frequencies({top, total, against, most = 4}) {
  const before = new Map((against ?? []).map(({value, count: times}) => [value, times]));
  return html`<ul className="me-frequencies">${top.slice(0, most).map(({value, count: times}) => html`
    <li key=${value} title=${`${value}: ${count(times)}${against ? `, before ${count(before.get(value) ?? 0)}` : ""}`}>
      <span>${value}</span>
      <svg width="64" height="8" aria-hidden="true"><rect height="8" width=${Math.max(1, (64 * times) / total)} /></svg>
      <span className="me-count">${Math.round((100 * times) / total)} %</span>
    </li>`)}
    ${top.length > most && html`<li className="me-muted">and ${top.length - most} more</li>`}
  </ul>`;
}

/** A line through a few numbers. @param {{values: number[], label: string}} props */
export function Sparkline({values, label}) {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const step = values.length > 1 ? WIDTH / (values.length - 1) : 0;
  const y = (value) => HEIGHT - 3 - ((value - low) / span) * (HEIGHT - 6);
  const line = values.map((value, at) => `${at ? "L" : "M"}${at * step} ${y(value)}`).join("");
  return html`<svg className="me-histogram" width=${WIDTH} height=${HEIGHT} role="img" aria-label=${label}>
    ${values.length > 1 ? html`<path d=${line} />` : html`<circle cx=${WIDTH / 2} cy=${HEIGHT / 2} r="2.5" />`}
  </svg>`;
}

function sharesOf(counts) {
  const total = counts.reduce((sum, one) => sum + one, 0) || 1;
  return counts.map((one) => one / total);
}
