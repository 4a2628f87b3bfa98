/** What went wrong, and what to do next. */

import {html, useContext} from "../host.js";
import {Place} from "../state.js";
import {Icon} from "./icon.js";

const TITLES = {
  0: "No answer",
  401: "Session ended",
  403: "Not allowed",
  404: "Not there",
  409: "Changed in the meantime",
  413: "Too much at once",
  422: "This cannot be read",
  503: "The store cannot be read",
};

/**
 * @param {{problem: import("../api.js").Problem, onRetry?: () => void, note?: string}} props
 */
export function ProblemBox({problem, onRetry, note}) {
  const {status, message, hint, requestId} = problem;
  return html`<div className="me-problem" role="alert">
    <${Icon} name="warning" />
    <div>
      <strong>${TITLES[status] ?? "Something went wrong"}</strong>
      <p>${message}</p>
      ${hint && html`<p>${hint}</p>`}
      ${note && html`<p>${note}</p>`}
      ${status === 401 && html`<${SignIn} />`}
      <p className="me-small me-muted">
        ${status ? `Status ${status}` : "Nothing was received"}
        ${requestId && html` · Request <code>${requestId}</code>`}
      </p>
    </div>
    ${onRetry && html`<button type="button" className="me-button" onClick=${onRetry}>Retry</button>`}
  </div>`;
}

function SignIn() {
  const {inAirflow} = useContext(Place);
  if (!inAirflow) return null;
  const to = new URL("api/v2/auth/login", document.baseURI);
  to.searchParams.set("next", window.location.href);
  return html`<p><a href=${to.href}>Sign in</a>, and come back to this very page.</p>`;
}
