/** What becomes of a wish: the run of the DAG, and the steps of the deployment it makes. */

import {html, useEffect, useState} from "../../host.js";
import {airflow} from "../../api.js";
import {useData, useEvery} from "../../data.js";
import {State} from "../../parts/badge.js";
import {Link, RunLink} from "../../parts/link.js";
import {Steps} from "./steps.js";

const OVER = new Set(["success", "failed"]);

/** @param {{begun: import("../../deploying.js").Begun, onEnd?: () => void}} props */
export function Following({begun: {service, run, generation, before}, onEnd}) {
  const state = useRunState(run);
  const [over, setOver] = useState(false);
  const found = useData(["services", service], {}, {every: over ? 0 : 1});
  const newest = found.data?.deployments[0];
  const deployment = newest && newest.id !== before ? newest : null;
  const ended = run ? OVER.has(state) : found.data?.observed_generation >= generation;
  useEffect(() => {
    if (!ended || over) return;
    setOver(true);
    found.reload();
    onEnd?.();
  }, [ended, over]);
  return html`<div className="me-stack" aria-live="polite">
    ${run && html`<p className="me-row">
      <${State} state=${state ?? "queued"} />
      <span>Airflow runs it: <${RunLink} run=${run}>${run.dag_id}<//></span></p>`}
    ${deployment
      ? html`<${Steps} id=${deployment.id} ended=${ended} />`
      : html`<p className="me-muted">${ended ? nothingMade(found.data) : "Waiting for it to begin…"}</p>`}
    ${ended && html`<p><${Link} to=${["services", service]}>See the service ${service}<//></p>`}
  </div>`;
}

const nothingMade = (service) => (service?.state === "stopped" ? "It has ended."
  : "It made no deployment: the task's log says why.");

/** The state of a DAG run, asked of Airflow until it is over. */
function useRunState(run) {
  const [state, setState] = useState(null);
  const look = async () => {
    if (!run || OVER.has(state)) return;
    const path = ["dags", run.dag_id, "dagRuns", run.run_id].map(encodeURIComponent).join("/");
    try {
      setState((await airflow("GET", path)).state);
    } catch {
      // It is asked again in a moment, and the steps come from elsewhere.
    }
  };
  useEffect(() => {
    look();
  }, [run?.run_id]);
  useEvery(run && !OVER.has(state) ? 1 : 0, look);
  return state;
}
