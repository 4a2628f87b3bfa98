/** Copying to the clipboard. */

import {html, useEffect, useState} from "../host.js";
import {Icon} from "./icon.js";

/**
 * @param {{text: string | (() => string), label?: string, children?: any}} props `label` says what
 *   is copied; without children the button is the icon alone.
 */
export function CopyButton({text, label = "Copy", children}) {
  const [told, setTold] = useState("");
  useEffect(() => {
    if (!told) return undefined;
    const timer = setTimeout(() => setTold(""), 2000);
    return () => clearTimeout(timer);
  }, [told]);
  const copy = async () => setTold((await copied(typeof text === "function" ? text() : text))
    ? "Copied" : "Not copied: the browser refused");
  return html`<button type="button" className=${children ? "me-button" : "me-icon-button"}
      title=${label} aria-label=${children ? undefined : label} onClick=${copy}>
    <${Icon} name=${told === "Copied" ? "check" : "copy"} />${children}
    <span role="status" className="me-unseen">${told}</span>
  </button>`;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without HTTPS there is no clipboard; the old way still works there.
    const area = Object.assign(document.createElement("textarea"), {value: text});
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
