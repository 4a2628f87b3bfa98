/** A button that opens a small panel: a list of choices, or of links. */

import {html, useEffect, useRef} from "../host.js";

/** @param {{label: any, title?: string, children: any}} props */
export function Menu({label, title, children}) {
  const ref = useRef(null);
  useEffect(() => {
    const details = ref.current;
    const close = (event) => {
      if (!details.open) return;
      const away = event.type === "keydown" ? event.key === "Escape" : !details.contains(event.target);
      if (!away) return;
      details.open = false;
      if (event.type === "keydown") details.querySelector("summary").focus();
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return html`<details className="me-menu" ref=${ref}>
    <summary className="me-button" title=${title}>${label}</summary>
    <div className="me-menu-panel">${children}</div>
  </details>`;
}
