/** Dialogs: the browser's own, which keep the focus, close with Esc and give it back. */

import {html, useEffect, useId, useRef} from "../host.js";
import {Icon} from "./icon.js";

/**
 * @param {{open: boolean, title: string, onClose: () => void, footer?: any, wide?: boolean,
 *   children: any}} props
 */
export function Dialog({open, title, onClose, footer, wide = false, children}) {
  const ref = useRef(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (!open || !dialog) return undefined;
    const before = document.activeElement;
    dialog.showModal();
    // React's autoFocus comes before the dialog can be seen, and is lost.
    dialog.querySelector(".me-dialog-body :is(input, select, textarea)")?.focus();
    return () => {
      dialog.close();
      // Our own elements may be gone by now, and then nothing can be focused.
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, [open]);
  if (!open) return null;
  const cancel = (event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${ref} className=${`me-dialog ${wide ? "me-wide" : ""}`} aria-labelledby=${id}
      onCancel=${cancel}>
    <header><h2 id=${id}>${title}</h2>
      <button type="button" className="me-icon-button" aria-label="Close" onClick=${onClose}>
        <${Icon} name="cross" /></button>
    </header>
    <div className="me-dialog-body">${children}</div>
    ${footer && html`<footer>${footer}</footer>`}
  </dialog>`;
}
