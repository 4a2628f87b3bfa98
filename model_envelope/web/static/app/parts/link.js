/** Links between our pages, and to Airflow's. */

import {RouterLink, html, useContext} from "../host.js";
import {Place, pathTo} from "../state.js";

/**
 * A link to a page of ours: `<Link to=${["m", id]} params=${{tab: "schema"}}>`.
 * @param {{to: string|string[], params?: Object}} props
 */
export function Link({to, params, children, ...rest}) {
  const {base} = useContext(Place);
  return html`<${RouterLink} to=${pathTo(base, to, params)} ...${rest}>${children}<//>`;
}

/** A link to a run of a DAG in Airflow, where there is one. */
export function RunLink({run, children}) {
  if (!run) return html`<span className="me-muted">–</span>`;
  const {dag_id, run_id, task_id, map_index} = run;
  const parts = ["dags", dag_id, "runs", run_id];
  if (task_id) parts.push("tasks", task_id);
  if (task_id && Number.isInteger(map_index) && map_index >= 0) parts.push("mapped", String(map_index));
  const label = children ?? `${dag_id}${task_id ? ` / ${task_id}` : ""}`;
  const {inAirflow} = useContext(Place);
  if (!inAirflow) return html`<span title=${run_id}>${label}</span>`;
  const path = `/${parts.map(encodeURIComponent).join("/")}`;
  return html`<${RouterLink} to=${path} title=${run_id}>${label}<//>`;
}
