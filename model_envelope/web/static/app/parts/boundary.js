/** Keeps what fails in one page from taking the navigation, and Airflow, with it. */

import {Component, html} from "../host.js";

export class Boundary extends Component {
  state = {error: null};

  static getDerivedStateFromError(error) {
    return {error};
  }

  componentDidUpdate({place}) {
    if (this.state.error && place !== this.props.place) this.setState({error: null});
  }

  render() {
    const {error} = this.state;
    if (!error) return this.props.children;
    return html`<main className="me-page"><div className="me-problem" role="alert"><div>
      <strong>This page does not work</strong>
      <p>${String(error.message ?? error)}</p>
      <p>Reload it. If it stays so, the pages and the server may be of different versions.</p>
    </div>
    <button type="button" className="me-button" onClick=${() => window.location.reload()}>Reload</button>
    </div></main>`;
  }
}
