/**
 * Having a service run something else. In Airflow that is a run of a DAG, started by the browser
 * as the user, so that permission, audit and logs are Airflow's; alone, the server does it.
 */

import {airflow, send} from "./api.js";

/** @typedef {{dag_id: string, run_id: string} | null} Run where to follow it; null alone */

/**
 * @param {Object} session
 * @param {{action: "deploy"|"rollback"|"undeploy", service: string, envelope?: string,
 *   target?: string|null, options?: Object, reason?: string}} wish
 * @returns {Promise<Run>}
 */
export async function begin(session, wish) {
  if (session.mode === "airflow") return beginRun(session.deploy_dag, wish);
  const {action, service, ...rest} = wish;
  if (action === "deploy") await send("POST", "deployments", {service, ...rest});
  else await send("POST", ["services", service, action], {reason: wish.reason ?? ""});
  return null;
}

async function beginRun(dag, {action, service, envelope = "", target = null, options = {}, reason = ""}) {
  const run = await airflow("POST", `dags/${encodeURIComponent(dag)}/dagRuns`, {
    logical_date: null,
    conf: {action, service, envelope, target, options, reason},
  });
  return {dag_id: run.dag_id, run_id: run.dag_run_id};
}

/** Why somebody may not deploy, for who looks at a disabled button; empty if they may. */
export function whyNot({mode, may, deploy_dag: dag}) {
  if (may.deploy) return "";
  return mode === "airflow"
    ? `You need the permission to trigger the DAG ${dag}, and it has to be there.`
    : "These pages are read-only: start them with --token to change something.";
}
