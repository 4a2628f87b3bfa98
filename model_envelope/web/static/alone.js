/** The pages without Airflow: gives them what Airflow would, and the reader's colours. */

import "./vendor/react-host.js";

const {React, ReactDOM, ReactRouterDOM} = globalThis;

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const paint = () => {
  document.documentElement.className = dark.matches ? "dark" : "light";
};
dark.addEventListener("change", paint);
paint();

const {keepToken} = await import("./app/api.js");
const given = new URLSearchParams(window.location.hash.slice(1)).get("token");
if (given) {
  keepToken(given);
  // Neither bookmarks nor copied links should have it.
  window.history.replaceState(window.history.state, "", window.location.pathname + window.location.search);
}

const {Shell} = await import("./app/shell.js");
const {html} = await import("./app/host.js");
const root = ReactDOM.createRoot(document.getElementById("root"));
root.render(html`<${React.StrictMode}><${ReactRouterDOM.BrowserRouter}>
  <${Shell} base="" inAirflow=${false} />
<//><//>`);
