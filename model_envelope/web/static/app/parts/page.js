/** The frame of a page below the navigation. */

import {html, useEffect} from "../host.js";

/**
 * @param {{title: string, heading?: any, actions?: any, children: any}} props `heading` stands
 *   where the title would, if it is more than text.
 */
export function Page({title, heading, actions, children}) {
  useEffect(() => {
    const was = document.title;
    document.title = `${title} · Model Envelope`;
    return () => {
      document.title = was;
    };
  }, [title]);
  return html`<main className="me-page">
    <header className="me-head">
      <h1>${heading ?? title}</h1>
      ${actions && html`<div className="me-actions">${actions}</div>`}
    </header>
    ${children}
  </main>`;
}

/** A part of a page with a heading of its own. */
export function Section({title, actions, children}) {
  return html`<section className="me-section">
    <header className="me-head"><h2>${title}</h2>${actions && html`<div className="me-actions">${actions}</div>`}</header>
    ${children}
  </section>`;
}
