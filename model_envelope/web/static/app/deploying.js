/**
 * Having a service run something else. In Airflow that is a run of a DAG, started by the browser
 * as the user, so that permission, audit and logs are Airflow's; alone, the server does it.
 */

import {address, airflow, get, send} from "./api.js";

/**
 * @typedef {Object} Begun
 * @property {"deploy"|"rollback"|"undeploy"} action
 * @property {string} service
 * @property {{dag_id: string, run_id: string}|null} run what Airflow does for it; null alone
 * @property {number} generation of the service's wish that this is; 0 where a run of a DAG makes it
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
  if (session.mode === "airflow") {
    return {action, service, before, generation: 0, run: await beginRun(session.deploy_dag, wish)};
  }
  const {generation} = action === "deploy"
    ? await send("POST", "deployments", {service, ...rest})
    : await send("POST", ["services", service, action], {reason: wish.reason ?? ""});
  return {action, service, before, generation, run: null};
}

async function newestDeployment(service) {
  const {items} = await get(address("deployments", {service, limit: 1}));
  return items[0]?.id ?? null;
}

async function beginRun(dag, wish) {
  // What is not given is the DAG's to choose.
  const conf = Object.fromEntries(Object.entries(wish).filter(([, value]) => value !== null && value !== ""));
  const run = await airflow("POST", `dags/${encodeURIComponent(dag)}/dagRuns`, {logical_date: null, conf});
  return {dag_id: run.dag_id, run_id: run.dag_run_id};
}

/** Why somebody may not deploy, for who looks at a disabled button; empty if they may. */
export function whyNotDeploy(session) {
  if (session.mode === "airflow" && !session.deploy_dag) {
    return "Airflow has no DAG model_deploy, which does this: put dags/model_deploy.py into its DAGs folder.";
  }
  return whyNotChange(session);
}

/** Why somebody may not change rules; empty if they may. */
export function whyNotChange({mode, may}) {
  if (may.change) return "";
  return mode === "airflow"
    ? "You need the permission to trigger the DAG model_deploy."
    : "These pages are read-only: start them with --token to change something.";
}
