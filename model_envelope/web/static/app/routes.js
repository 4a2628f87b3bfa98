/** Every page: its path below ours, where the navigation names it, and how it is loaded. */

import {lazy} from "./host.js";

const page = (path, load, nav) => ({path: path.split("/"), page: lazy(load), nav});

export const ROUTES = [
  page("", () => import("./pages/models.js"), "Models"),
  page("m/:id", () => import("./pages/model.js")),
  page("dashboard", () => import("./pages/dashboard.js"), "Dashboard"),
  page("rules", () => import("./pages/rules.js"), "Rules"),
  page("rules/:name", () => import("./pages/rule.js")),
  page("services", () => import("./pages/services.js"), "Services"),
  page("services/:name", () => import("./pages/service.js")),
  page("deployments", () => import("./pages/deployments.js"), "Deployments"),
  page("batch", () => import("./pages/batch.js"), "Batch"),
];

/** The route of a path, and what its names stand for; null if there is no such page. */
export function routeOf(path) {
  const given = path.replace(/^\/|\/$/g, "").split("/");
  for (const route of ROUTES) {
    const params = matched(route.path, given);
    if (params) return {route, params};
  }
  return null;
}

function matched(pattern, given) {
  if (pattern.length !== given.length) return null;
  const params = {};
  for (const [at, part] of pattern.entries()) {
    if (part.startsWith(":")) params[part.slice(1)] = decoded(given[at]);
    else if (part !== given[at]) return null;
  }
  return params;
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
