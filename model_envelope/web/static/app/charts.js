/** Charts: Vega-Lite in our colours, with a table of the same rows and a picture to keep. */

import {html, useContext, useEffect, useMemo, useRef, useState} from "./host.js";
import {drawing} from "./drawing.js";
import {Icon} from "./parts/icon.js";
import {Skeleton} from "./parts/skeleton.js";
import {Place} from "./state.js";
import {number} from "./format.js";

const MOST_ROWS = 500;
/** Farther than this, a press was no click but dragged something. */
const STILL = 4;

/**
 * A chart. It is drawn when it comes into view; new data of the same spec keep the zoom.
 *
 * @param {{title: string, spec: Object, data: {columns: Object<string, any[]>}, height?: number,
 *   onPick?: (datum: Object) => void, onView?: (view: any) => void, actions?: any}} props
 *   `onPick`: somebody clicked on the mark of a row; `onView`: a new Vega view was made, to listen
 *   to its signals
 */
export function Chart({title, spec, data, height = 320, onPick, onView, actions}) {
  const [asTable, setAsTable] = useState(false);
  const view = useRef(null);
  const rows = useMemo(() => rowsOf(data.columns), [data]);
  const save = async () => {
    const link = document.createElement("a");
    link.href = await view.current.toImageURL("png", 2);
    link.download = `${title.replace(/[^\w.-]+/g, "_")}.png`;
    link.click();
  };
  return html`<figure className="me-chart">
    <figcaption className="me-head"><h3>${title}</h3>
      <div className="me-actions">${actions}
        <button type="button" className="me-button" aria-pressed=${asTable} onClick=${() => setAsTable(!asTable)}>
          Table</button>
        <button type="button" className="me-button" disabled=${asTable} onClick=${save}>
          <${Icon} name="export" />PNG</button>
      </div>
    </figcaption>
    ${asTable ? html`<${Rows} title=${title} rows=${rows} />`
      : html`<${Drawing} title=${title} spec=${spec} rows=${rows} height=${height} keep=${view}
          onPick=${onPick} onView=${onView} />`}
  </figure>`;
}

function Drawing({title, spec, rows, height, keep, onPick, onView}) {
  const {inAirflow} = useContext(Place);
  const box = useRef(null);
  const looked = useRef(null);
  const latest = useRef({});
  latest.current = {rows, onPick, onView};
  const [failed, setFailed] = useState(null);
  const [drawn, setDrawn] = useState(false);
  const seen = useSeen(box);
  const theme = useTheme();
  const specText = JSON.stringify(spec);

  useEffect(() => {
    if (!seen) return undefined;
    let ended = false;
    let finish = () => {};
    setFailed(null);
    const start = async () => {
      const made = await drawing(box.current, JSON.parse(specText), latest.current.rows, {
        height, title, inAirflow,
      });
      finish = () => made.finalize();
      if (ended) return finish();
      keep.current = made.view;
      lookAgain(made.view, looked.current);
      let pressed = null;
      made.view.addEventListener("pointerdown", (event) => {
        pressed = event;
      });
      made.view.addEventListener("click", (event, item) => {
        if (item?.datum && !isDragged(pressed, event)) latest.current.onPick?.(item.datum);
      });
      latest.current.onView?.(made.view);
      return setDrawn(true);
    };
    start().catch((error) => !ended && setFailed(error));
    return () => {
      ended = true;
      looked.current = keep.current && lookOf(keep.current);
      keep.current = null;
      finish();
    };
  }, [seen, specText, theme, height, title]);

  const first = useRef(rows);
  useEffect(() => {
    if (first.current === rows) return;
    first.current = rows;
    keep.current?.data("data", rows).runAsync();
  }, [rows]);

  return html`<div className="me-drawing">
    <div ref=${box} role="img" aria-label=${spec.description ?? title} className="me-canvas"
      style=${drawn ? undefined : {minHeight: `${height}px`}} />
    ${!drawn && !failed && html`<div className="me-drawing-wait"><${Skeleton} rows=${4} /></div>`}
    ${failed && html`<p role="alert" className="me-error">This chart cannot be drawn: ${failed.message}.
      Its rows are under Table.</p>`}
  </div>`;
}

/** What somebody looks at: the range of a zoom, the sides of a brush. The rest follows from them. */
const lookOf = (view) => view.getState({
  signals: (name) => /^(zoom_(saved_at|at|step)|brush_[xy])$/.test(name),
  data: () => false,
}).signals;

/** In other colours, too, one looks at the same part; of another chart there may be no such part. */
function lookAgain(view, looked) {
  const there = lookOf(view);
  const kept = Object.entries(looked ?? {}).filter(([name, range]) => name in there && range?.length);
  if (!kept.length) return;
  kept.forEach(([name, range]) => view.signal(name, range));
  view.runAsync();
}

const isDragged = (pressed, {clientX, clientY}) => Boolean(pressed)
  && Math.hypot(clientX - pressed.clientX, clientY - pressed.clientY) > STILL;

function Rows({title, rows}) {
  const columns = Object.keys(rows[0] ?? {});
  return html`<div className="me-table-frame me-short" role="region" aria-label=${title} tabIndex=${0}>
    <table className="me-table">
      <caption className="me-unseen">${title}</caption>
      <thead><tr>${columns.map((name) => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
      <tbody>${rows.slice(0, MOST_ROWS).map((row, at) => html`<tr key=${at}>
        ${columns.map((name) => html`<td key=${name} className=${typeof row[name] === "number" ? "me-end" : ""}>
          ${typeof row[name] === "number" ? number(row[name], 6) : String(row[name] ?? "–")}</td>`)}
      </tr>`)}</tbody>
    </table>
    ${rows.length > MOST_ROWS && html`<p className="me-muted">The first ${MOST_ROWS} of ${rows.length} rows.</p>`}
  </div>`;
}

/** Columns as rows: `{a: [1, 2]}` -> `[{a: 1}, {a: 2}]`. */
export function rowsOf(columns) {
  const names = Object.keys(columns);
  const length = Math.max(0, ...names.map((name) => columns[name].length));
  return Array.from({length}, (_, at) => Object.fromEntries(names.map((name) => [name, columns[name][at]])));
}

/** Whether an element has been in view: what nobody looks at is not drawn. */
function useSeen(ref) {
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    const watching = new IntersectionObserver(([entry]) => entry.isIntersecting && setSeen(true), {
      rootMargin: "200px",
    });
    watching.observe(ref.current);
    return () => watching.disconnect();
  }, [ref]);
  return seen;
}

/** "light" or "dark", as the host has it now. */
function useTheme() {
  const root = document.documentElement;
  const [theme, setTheme] = useState(root.className);
  useEffect(() => {
    const watching = new MutationObserver(() => setTheme(root.className));
    watching.observe(root, {attributes: true, attributeFilter: ["class"]});
    return () => watching.disconnect();
  }, [root]);
  return theme;
}
