/** What is around every page: navigation, who looks, and keys. */

import {Suspense, html, useEffect, useLocation, useMemo, useState} from "./host.js";
import {useData} from "./data.js";
import {Boundary} from "./parts/boundary.js";
import {Dialog} from "./parts/dialog.js";
import {Empty} from "./parts/empty.js";
import {Icon} from "./parts/icon.js";
import {Link} from "./parts/link.js";
import {ProblemBox} from "./parts/problem.js";
import {Skeleton} from "./parts/skeleton.js";
import {ROUTES, routeOf} from "./routes.js";
import {Place, Session} from "./state.js";

const STYLES = new URL("styles.css", import.meta.url).href;
const KEYS = [
  ["/", "Go to the tag query"],
  ["?", "Show these keys"],
  ["Esc", "Close what is open"],
  ["Alt + click", "On a tag: leave out the models that have it"],
  ["← →", "From one tab to the next"],
];

/** @param {{base: string, inAirflow: boolean}} props `base`: the router's path to our pages */
export function Shell({base, inAirflow}) {
  const {pathname} = useLocation();
  const path = pathname.startsWith(base) ? pathname.slice(base.length) : "";
  const found = routeOf(path);
  return html`<${Frame} base=${base} inAirflow=${inAirflow} path=${path}>
    <${Navigation} current=${found?.route} path=${path} />
    <${Boundary} place=${path}>
      <${Suspense} fallback=${html`<main className="me-page"><${Skeleton} /></main>`}>
        ${found ? html`<${found.route.page} key=${path} params=${found.params} />` : html`<${NoPage} />`}
      <//>
    <//>
  <//>`;
}

/** The styles and the session, for whatever stands in it. */
export function Frame({base, inAirflow, path = "", children}) {
  const place = useMemo(() => ({base, inAirflow, path}), [base, inAirflow, path]);
  const session = useData("session");
  return html`<link rel="stylesheet" href=${STYLES} precedence="model-envelope" />
    <${Place.Provider} value=${place}>
      <div className="me">
        ${session.data
          ? html`<${Session.Provider} value=${session.data}>${children}<//>`
          : session.problem
            ? html`<main className="me-page">
                <${ProblemBox} problem=${session.problem} onRetry=${session.reload} /></main>`
            : html`<div aria-busy="true" className="me-page">${session.slow && html`<${Skeleton} />`}</div>`}
      </div>
    <//>`;
}

function Navigation({current, path}) {
  const [keys, setKeys] = useState(false);
  useKeys(() => setKeys(true));
  const first = path.split("/")[1] ?? "";
  const isCurrent = (route) => route === current || (route.path[0] !== "" && route.path[0] === first)
    || (route.path[0] === "" && first === "m");
  return html`<nav className="me-nav" aria-label="Model Envelope">
      ${ROUTES.filter((route) => route.nav).map((route) => html`
        <${Link} key=${route.nav} to=${route.path}
          aria-current=${isCurrent(route) ? "page" : undefined}>${route.nav}<//>`)}
      <button type="button" className="me-icon-button" title="Keys (?)" aria-label="Keys"
        onClick=${() => setKeys(true)}><${Icon} name="unknown" /></button>
    </nav>
    <${Dialog} open=${keys} title="Keys" onClose=${() => setKeys(false)}>
      <dl className="me-keys">${KEYS.map(([key, does]) => html`
        <div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl>
    <//>`;
}

function useKeys(onHelp) {
  useEffect(() => {
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (event.target.closest?.("input, textarea, select, [contenteditable], dialog")) return;
      if (event.key === "?") onHelp();
      if (event.key === "/") {
        const box = document.querySelector("[data-me-query]");
        if (!box) return;
        event.preventDefault();
        box.focus();
        box.select();
      }
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [onHelp]);
}

function NoPage() {
  return html`<main className="me-page"><${Empty} title="There is no such page">
    <p>Its address may be of another version. <${Link} to="">All models<//></p>
  <//></main>`;
}
