/** Tabs, one of which is shown. Arrow keys go from one to the next. */

import {html, useId, useRef} from "../host.js";

/**
 * @param {{label: string, tabs: {id: string, label: any, count?: number}[], current: string,
 *   onChange: (id: string) => void, children: any}} props `children`: the current tab's content
 */
export function Tabs({label, tabs, current, onChange, children}) {
  const id = useId();
  const list = useRef(null);
  const move = (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    const at = tabs.findIndex((tab) => tab.id === current);
    const to = {Home: 0, End: tabs.length - 1}[event.key] ?? (step && (at + step + tabs.length) % tabs.length);
    if (to === undefined) return;
    event.preventDefault();
    onChange(tabs[to].id);
    list.current.children[to].focus();
  };
  return html`<div className="me-tabs">
    <div role="tablist" aria-label=${label} ref=${list} onKeyDown=${move}>
      ${tabs.map((tab) => html`<button key=${tab.id} type="button" role="tab" id=${`${id}-${tab.id}`}
          aria-selected=${tab.id === current} aria-controls=${`${id}-panel`}
          tabIndex=${tab.id === current ? 0 : -1} onClick=${() => onChange(tab.id)}>
        ${tab.label}${tab.count !== undefined && html` <span className="me-count">${tab.count}</span>`}
      </button>`)}
    </div>
    <div role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${current}`}>${children}</div>
  </div>`;
}
