/** What becomes of a wish: the run of the DAG, and the steps of the deployment it makes. */

import {html, useEffect, useState} from "../../host.js";
import {airflow} from "../../api.js";
import {useData, useEvery} from "../../data.js";
import {State} from "../../parts/badge.js";
import {Link, RunLink} from "../../parts/link.js";
import {Steps} from "./steps.js";

const OVER = new Set(["success", "failed"]);

/** @param {{begun: import("../../deploying.js").Begun, onEnd?: () => void}} props */
export function Following({begun: {action, service, run, generation, before}, onEnd}) {
  const {state, paused} = useRunState(run);
  const [over, setOver] = useState(false);
  const every = over ? 0 : 1;
  const ledger = useData("deployments", {service, limit: 1}, {every});
  // A run of the DAG makes a new service only on its way.
  const found = useData(run ? null : ["services", service], {}, {every});
  const newest = ledger.data?.items[0];
  const deployment = newest && newest.id !== before ? newest : null;
  const ended = run ? OVER.has(state) : found.data?.observed_generation >= generation;
  const failed = run ? state === "failed" : found.data?.state === "failed";
  useEffect(() => {
    if (!ended || over) return;
    setOver(true);
    ledger.reload();
    onEnd?.();
  }, [ended, over]);
  return html`<div className="me-stack" aria-live="polite">
    ${run && html`<p className="me-row">
      <${State} state=${state ?? "queued"} />
      <span>Airflow runs it: <${RunLink} run=${run}>${run.dag_id}<//></span></p>`}
    ${paused && html`<p className="me-note me-warn">The DAG ${run.dag_id} is paused in Airflow: this waits until
      somebody switches it on.</p>`}
    ${deployment
      ? html`<${Steps} id=${deployment.id} ended=${ended} />`
      : html`<p className="me-muted">${ended ? nothingMade(action, failed) : "Waiting for it to begin…"}</p>`}
    ${ended && html`<p><${Link} to=${["services", service]}>See the service ${service}<//></p>`}
  </div>`;
}

function nothingMade(action, failed) {
  if (failed) return "It made no deployment: the log says why.";
  return action === "undeploy" ? "It has ended." : "Nothing had to be done: it runs that already.";
}

/** The state of a DAG run, asked of Airflow until it is over, and whether it waits for its DAG. */
function useRunState(run) {
  const [seen, setSeen] = useState({state: null, paused: false});
  const over = !run || OVER.has(seen.state);
  const look = async () => {
    if (over) return;
    const dag = `dags/${encodeURIComponent(run.dag_id)}`;
    try {
      const {state} = await airflow("GET", `${dag}/dagRuns/${encodeURIComponent(run.run_id)}`);
      setSeen({state, paused: state === "queued" && (await airflow("GET", dag)).is_paused});
    } catch {
      // It is asked again in a moment, and the steps come from elsewhere.
    }
  };
  useEffect(() => {
    look();
  }, [run?.run_id]);
  useEvery(over ? 0 : 1, look);
  return seen;
}
