/** Data of the server in components. */

import {useCallback, useEffect, useRef, useState} from "./host.js";
import {Problem, address, get} from "./api.js";

/** Waiting shorter than this is not shown: what flickers looks slower than what waits. */
const SLOW = 200;

/**
 * What a route answers, kept up to date.
 *
 * While something else is asked for, the old data stays and `loading` is true; when asking
 * again fails, it stays beside the `problem`.
 *
 * @param {string|string[]|null} path null asks nothing
 * @param {Object} [params]
 * @param {{every?: number}} [options] `every`: seconds between refreshes, while the tab is visible
 * @returns {{data: any, problem: Problem|null, loading: boolean, slow: boolean, at: number|null,
 *   reload: () => void}} `at`: when the data was last known to hold, in ms
 */
export function useData(path, params, {every = 0} = {}) {
  const url = path === null ? null : address(path, params);
  const [state, setState] = useState({url: null, data: null, problem: null, at: null});
  const [turn, setTurn] = useState(0);
  const [asking, setAsking] = useState(null);
  const reload = useCallback(() => setTurn((was) => was + 1), []);

  useEffect(() => {
    if (url === null) return undefined;
    const aborting = new AbortController();
    setAsking(url);
    get(url, aborting.signal).then(
      (data) => {
        setState({url, data, problem: null, at: Date.now()});
        setAsking(null);
      },
      (problem) => {
        if (aborting.signal.aborted) return;
        if (!(problem instanceof Problem)) throw problem;
        setState((was) => ({...was, url, problem}));
        setAsking(null);
      },
    );
    return () => aborting.abort();
  }, [url, turn]);

  useEvery(every, reload);
  const loading = url !== null && (asking === url || state.url !== url);
  const slow = useSlow(loading);
  const held = url === null ? {data: null, problem: null, at: null} : state;
  return {data: held.data, problem: loading && !held.data ? null : held.problem, at: held.at,
    loading, slow, reload};
}

/** Call every so many seconds (0: never) while somebody can see it, and when they come back. */
export function useEvery(seconds, call) {
  const latest = useRef(call);
  latest.current = call;
  useEffect(() => {
    if (!seconds) return undefined;
    let last = Date.now();
    const look = () => {
      if (document.visibilityState !== "visible" || Date.now() - last < seconds * 900) return;
      last = Date.now();
      latest.current();
    };
    const timer = setInterval(look, seconds * 1000);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [seconds]);
}

/**
 * Something a click does: `[act, {busy, problem, done, clear}]`. A second click while it is at
 * work does nothing.
 * @param {(...args: any[]) => Promise<any>} what
 */
export function useAction(what) {
  const [state, setState] = useState({busy: false, problem: null, done: null});
  const working = useRef(false);
  const act = async (...args) => {
    if (working.current) return undefined;
    working.current = true;
    setState({busy: true, problem: null, done: null});
    try {
      const done = await what(...args);
      setState({busy: false, problem: null, done: done ?? true});
      return done ?? true;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setState({busy: false, problem, done: null});
      return undefined;
    } finally {
      working.current = false;
    }
  };
  const clear = useCallback(() => setState({busy: false, problem: null, done: null}), []);
  return [act, {...state, clear}];
}

function useSlow(waiting) {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    setSlow(false);
    if (!waiting) return undefined;
    const timer = setTimeout(() => setSlow(true), SLOW);
    return () => clearTimeout(timer);
  }, [waiting]);
  return slow && waiting;
}
