/** Requests to our server, and to Airflow's where the user acts as themselves. */

const API = new URL("../../api/v1/", import.meta.url);
const TOKEN = "model-envelope-token";
const CACHED = 200;

/** What went wrong, in the server's words where it gave any. */
export class Problem extends Error {
  /** @param {{status: number, code?: string, message: string, hint?: string, position?: number,
   *   fields?: Object, requestId?: string}} told `status` 0: there was no answer. */
  constructor({status, message, ...rest}) {
    super(message);
    Object.assign(this, {status, ...rest});
  }
}

/** @type {Map<string, {etag: string, data: any}>} Answers that the server may say still hold. */
const answers = new Map();

/**
 * The address of a route, for links such as an export.
 * @param {string|string[]} path parts are escaped: `["models", id]`.
 * @param {Object} [params] null, undefined, "" and false are left out; a list repeats.
 */
export function address(path, params = {}) {
  const parts = Array.isArray(path) ? path.map(encodeURIComponent).join("/") : path;
  const url = new URL(parts, API);
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one === null || one === undefined || one === "" || one === false) continue;
      url.searchParams.append(name, one === true ? "1" : one);
    }
  }
  return url.href;
}

/**
 * What a route answers. An answer that is as before is the same object again.
 * @param {string} url of `address`
 * @param {AbortSignal} [signal]
 */
export async function get(url, signal) {
  const known = answers.get(url);
  const headers = {Accept: "application/json", ...bearer()};
  if (known) headers["If-None-Match"] = known.etag;
  const response = await ask(url, {headers, signal, cache: "no-store"});
  if (response.status === 304 && known) return known.data;
  const data = await bodyOf(response);
  const etag = response.headers.get("ETag");
  answers.delete(url);
  if (etag) answers.set(url, {etag, data});
  if (answers.size > CACHED) answers.delete(answers.keys().next().value);
  return data;
}

/**
 * Change something, or ask what changing it would do.
 * @param {"POST"|"PUT"|"PATCH"|"DELETE"} method
 * @param {string|string[]} path as in `address`
 * @param {any} [body]
 */
export const send = (method, path, body, signal) => sendText(method, path, json(body), signal);

/** As `send`, with JSON as it was typed: parsing would round large integers. */
export async function sendText(method, path, text, signal) {
  const headers = {
    Accept: "application/json",
    "Content-Type": "application/json",
    "X-Model-Envelope": "1",
    ...bearer(),
  };
  return bodyOf(await ask(address(path), {method, headers, signal, body: text}));
}

/**
 * Airflow's own REST API, as the user: `airflow("POST", "dags/model_deploy/dagRuns", {…})`.
 * @param {string} path below `api/v2/`
 */
export async function airflow(method, path, body, signal) {
  const headers = {Accept: "application/json", "Content-Type": "application/json"};
  const url = new URL(`api/v2/${path}`, document.baseURI);
  return bodyOf(await ask(url, {method, headers, signal, body: json(body)}));
}

/**
 * Whether Airflow still has a run: that of a deleted DAG is gone. Asked as a list, because what
 * is not there would be an error in the browser's console.
 */
export async function airflowHas({dag_id: dag, run_id: run}, signal) {
  const asked = new URLSearchParams({dag_id_prefix_pattern: dag, run_id_prefix_pattern: run, order_by: "run_id"});
  const {dag_runs: found} = await airflow("GET", `dags/~/dagRuns?${asked}`, undefined, signal);
  return found.some((one) => one.dag_id === dag && one.dag_run_id === run);
}

/** Keep the token of a server that stands alone, for as long as this tab is open. */
export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

function bearer() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? {Authorization: `Bearer ${token}`} : {};
}

const json = (body) => (body === undefined ? undefined : JSON.stringify(body));

async function ask(url, options) {
  try {
    return await fetch(url, {credentials: "same-origin", ...options});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      status: 0,
      code: "no_answer",
      message: "The server did not answer.",
      hint: "It may be restarting, or this machine may be offline.",
    });
  }
}

async function bodyOf(response) {
  const text = await response.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    // A proxy's error page, for example.
    if (response.ok) throw problemOf(response, null);
  }
  if (!response.ok) throw problemOf(response, body);
  return body;
}

function problemOf(response, body) {
  const error = body?.error ?? {};
  const detail = typeof body?.detail === "string" ? body.detail : undefined;
  return new Problem({
    ...error,
    status: response.status,
    message: error.message ?? detail ?? `The server answered ${response.status}.`,
    requestId: body?.request_id ?? response.headers.get("X-Request-Id") ?? undefined,
  });
}
