/**
 * Having a service run something else. In Airflow that is a run of a DAG, started by the browser
 * as the user, so that permission, audit and logs are Airflow's; alone, the server does it.
 */

import {address, airflow, get, send} from "./api.js";

/**
 * @typedef {Object} Begun
 * @property {string} service
 * @property {{dag_id: string, run_id: string}|null} run what Airflow does for it; null alone
 * @property {string|null} before the service's newest deployment until now: a newer one is ours
 */

/**
 * @param {Object} session
 * @param {{action: "deploy"|"rollback"|"undeploy", service: string, envelope?: string,
 *   target?: string|null, options?: Object|null, reason?: string}} wish
 * @returns {Promise<Begun>}
 */
export async function begin(session, wish) {
  const {action, service, ...rest} = wish;
  const before = await newestDeployment(service);
  let run = null;
  if (session.mode === "airflow") run = await beginRun(session.deploy_dag, wish);
  else if (action === "deploy") await send("POST", "deployments", {service, ...rest});
  else await send("POST", ["services", service, action], {reason: wish.reason ?? ""});
  return {service, run, before};
}

async function newestDeployment(service) {
  const {items} = await get(address("deployments", {service, limit: 1}));
  return items[0]?.id ?? null;
}

async function beginRun(dag, {action, service, envelope = "", target = null, options, reason = ""}) {
  const run = await airflow("POST", `dags/${encodeURIComponent(dag)}/dagRuns`, {
    logical_date: null,
    conf: {action, service, envelope, target, options: options ?? {}, reason},
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
