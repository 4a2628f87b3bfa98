/** What a change would do, asked while somebody is still writing it. */

import {useEffect, useState} from "./host.js";
import {Problem, send} from "./api.js";

/** Shorter pauses between keys ask nothing. */
const PAUSE = 300;

/**
 * The server's answer to a body that may change at every key. `of` says whether the answer is of
 * the body as it is now: nothing may be done by an answer that is not.
 *
 * @param {string|string[]} path
 * @param {any|null} body null asks nothing
 * @returns {{data: any, problem: Problem|null, of: boolean}}
 */
export function usePreview(path, body) {
  const text = body === null ? null : JSON.stringify(body);
  const [state, setState] = useState({text: null, data: null, problem: null});
  useEffect(() => {
    if (text === null) return undefined;
    const aborting = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const data = await send("POST", path, JSON.parse(text), aborting.signal);
        setState({text, data, problem: null});
      } catch (problem) {
        if (aborting.signal.aborted) return;
        if (!(problem instanceof Problem)) throw problem;
        setState({text, data: null, problem});
      }
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      aborting.abort();
    };
  }, [String(path), text]);
  if (text === null) return {data: null, problem: null, of: false};
  return {data: state.data, problem: state.problem, of: state.text === text};
}
