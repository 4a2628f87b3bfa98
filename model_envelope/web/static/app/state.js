/** State that lives in the address, so that reload, back and a copied link show the same. */

import {
  createContext, useCallback, useContext, useEffect, useLayoutEffect, useLocation, useMemo, useNavigate, useRef,
  useState,
} from "./host.js";

/** Where we are: `{base, path}`; `base` is the host's path to our pages, without a slash at its end. */
export const Place = createContext({base: "", path: ""});

/** Who looks, and what they may do: the answer of `session`. */
export const Session = createContext(null);

/** @returns {{mode: "airflow"|"alone", user: string, may: {change: boolean, deploy: boolean},
 *   deploy_dag: string|null, version: string, targets: string[], store: Object}} */
export const useSession = () => useContext(Session);

/**
 * Fields of the address, and how to change them.
 *
 * @param {Object<string, string|string[]|boolean|number>} fields defaults; their types say how
 *   values are read. A field that is as its default is not in the address.
 * @returns {[Object, (changes: Object, options?: {replace?: boolean}) => void]}
 */
export function useUrl(fields) {
  const {pathname, search} = useLocation();
  const navigate = useNavigate();
  const [, redraw] = useState(0);
  const here = pathname + search;
  const now = ahead?.way.includes(here) ? ahead.search : search;
  const values = useMemo(() => read(now, fields), [now, fields]);
  const latest = useRef();
  useLayoutEffect(() => {
    latest.current = {here, pathname, search, navigate};
  });
  useEffect(() => {
    if (ahead && (here === ahead.way.at(-1) || !ahead.way.includes(here))) ahead = null;
  }, [here]);
  // What was made of it on an earlier address may be called on a later one.
  const set = useCallback(
    (changes, {replace = false} = {}) => {
      const {here, pathname, search, navigate} = latest.current;
      const onTheWay = ahead?.way.includes(here);
      const before = onTheWay ? ahead.search : search;
      const next = written(before, fields, changes);
      if (next === before) return;
      ahead = {way: [...(onTheWay ? ahead.way : [here]), pathname + next], search: next};
      redraw((was) => was + 1);
      navigate({pathname, search: next}, {replace});
    },
    [fields],
  );
  return [values, set];
}

/**
 * Where the router is about to be, and by which addresses: it gets there a little later, and a
 * checkbox that waited for it would spring back, a second click in between be lost.
 * @type {{way: string[], search: string}|null}
 */
let ahead = null;

/** Go to a page: `go(["m", id], {tab: "schema"})`. */
export function useGo() {
  const {base} = useContext(Place);
  const navigate = useNavigate();
  return (path, params) => navigate(pathTo(base, path, params));
}

/** The router's path to a page of ours. */
export function pathTo(base, path, params = {}) {
  const parts = (Array.isArray(path) ? path : path.split("/")).map(encodeURIComponent).join("/");
  const search = written("", {}, params);
  return `${base}/${parts}`.replace(/(.)\/$/, "$1") + search;
}

function read(search, fields) {
  const given = new URLSearchParams(search);
  return Object.fromEntries(
    Object.entries(fields).map(([name, usual]) => {
      if (!given.has(name)) return [name, usual];
      if (Array.isArray(usual)) return [name, given.getAll(name)];
      const text = given.get(name);
      if (typeof usual === "boolean") return [name, text === "1"];
      if (typeof usual === "number") return [name, Number.isFinite(+text) ? +text : usual];
      return [name, text];
    }),
  );
}

function written(search, fields, changes) {
  const params = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes)) {
    params.delete(name);
    const usual = fields[name] ?? "";
    if (value === null || value === undefined || String(value) === String(usual)) continue;
    if (Array.isArray(value)) value.forEach((one) => params.append(name, one));
    else params.set(name, typeof value === "boolean" ? (value ? "1" : "0") : value);
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}
