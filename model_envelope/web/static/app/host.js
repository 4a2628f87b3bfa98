/**
 * The host's React and router, and nothing else of it. Airflow puts both on `globalThis`; alone,
 * `alone.js` does. No other file touches those globals.
 *
 * HOW TO WRITE A PAGE
 *
 * A page is `pages/<name>.js` with one default export, a function component, and a line in
 * `routes.js`. It is loaded when somebody goes there. It gets `{params}`: what its path's
 * `:names` stand for.
 *
 *     import {html} from "../host.js";
 *     import {useData} from "../data.js";
 *     import {useUrl} from "../state.js";
 *     import {Page} from "../parts/page.js";
 *     import {Loaded} from "../parts/loaded.js";
 *     import {Table} from "../parts/table.js";
 *     import {Link} from "../parts/link.js";
 *
 *     const FIELDS = {q: "", cursor: ""};            // the state of the page, with defaults
 *
 *     export default function Services() {
 *       const [url, setUrl] = useUrl(FIELDS);        // lives in the address, and only there
 *       const services = useData("services", {q: url.q}, {every: 15});
 *       return html`
 *         <${Page} title="Services">
 *           <${Loaded} of=${services}>${({items}) => html`
 *             <${Table} label="Services" rows=${items} keyOf=${(row) => row.name} columns=${[
 *               {key: "name", label: "Service", render: (row) => html`
 *                 <${Link} to=${["services", row.name]}>${row.name}<//>`},
 *             ]} />`}
 *           <//>
 *         <//>`;
 *     }
 *
 * - What a page shows of the store comes from `useData`; what it changes goes through `send` of
 *   `api.js`, which throws a `Problem` to be shown with `<ProblemBox>`; then call `reload()`.
 * - State that a reader might want to share, reload or go back to belongs in the address
 *   (`useUrl`); what is half-typed in a form does not.
 * - Who may do what: `useSession().may`. Hide nothing that explains; disable, and say why.
 * - React escapes everything: there is no `innerHTML`, `eval` or inline handler, and styles are
 *   classes in `styles.css`, all of which begin with `me-`.
 */

import htm from "../vendor/htm.js";

const {React, ReactRouterDOM} = globalThis;

/** JSX without a build step: html`<${Component} name=${value}>…<//>`. */
export const html = htm.bind(React.createElement);

export const {
  Component,
  Fragment,
  Suspense,
  createContext,
  lazy,
  memo,
  useCallback,
  useContext,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} = React;

export const {Link: RouterLink, useHref, useLocation, useNavigate, useParams} = ReactRouterDOM;
