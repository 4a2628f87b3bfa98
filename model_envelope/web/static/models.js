/** The item **Models** of Airflow's navigation: Airflow looks for a global of the item's name. */

import {html, useParams} from "./app/host.js";
import {Shell} from "./app/shell.js";

globalThis.Models = function Models() {
  const {page} = useParams();
  return html`<${Shell} base=${`/plugin/${page}`} inAirflow=${true} />`;
};
