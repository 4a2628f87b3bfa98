/** The steps of one deployment: what each gate saw. */

import {html, useEffect, useState} from "../../host.js";
import {useData} from "../../data.js";
import {duration, number} from "../../format.js";
import {State} from "../../parts/badge.js";
import {Loaded} from "../../parts/loaded.js";

/** @param {{id: string, ended?: boolean}} props `ended`: nothing more is to come */
export function Steps({id, ended = true}) {
  const [over, setOver] = useState(false);
  const deployment = useData(["deployments", id], {}, {every: over ? 0 : 1});
  useEffect(() => setOver(ended && isOver(deployment.data)), [ended, deployment.data]);
  return html`<${Loaded} of=${deployment}>${({state, reason, started_at: started, steps}) => html`
    <div className="me-stack">
      <p className="me-row"><${State} state=${state} />${reason && html`<span>${reason}</span>`}</p>
      ${steps.length === 0 && html`<p className="me-muted">No step was taken yet.</p>`}
      <ol className="me-steps">${taken(steps, started).map(({name, state: came, detail, seconds}, at) => html`
        <li key=${at}>
          <${State} state=${came} />
          <span><strong>${name.replaceAll("_", " ")}</strong> ${said(detail)}</span>
          <span className="me-muted me-numbers">${seconds !== null && duration(seconds)}</span>
        </li>`)}
      </ol>
    </div>`}
  <//>`;
}

/** What runs before is retired after the new one is live: that is a step, too. */
const isOver = (deployment) => Boolean(deployment) && deployment.state !== "running"
  && deployment.steps.at(-1)?.state !== "running";

/** What each step came to and how long it took: the ledger has a line for its begin, too. */
function taken(steps, started) {
  const found = [];
  for (const step of steps) {
    const last = found.at(-1);
    if (last?.name === step.name && last.state === "running") {
      Object.assign(last, step, {seconds: between(last.at, step.at)});
    } else {
      found.push({...step, seconds: step.state === "running" ? null : between(last?.at ?? started, step.at)});
    }
  }
  return found;
}

const between = (start, end) => Math.max(0, (new Date(end) - new Date(start)) / 1000);

/** What a step has to say, as one line. */
function said(detail) {
  const {reason, ...rest} = detail ?? {};
  const facts = Object.entries(rest)
    .filter(([name, value]) => name !== "seconds" && value !== null && typeof value !== "object")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${number(value)}`);
  return [reason, ...facts].filter(Boolean).join(" · ");
}
