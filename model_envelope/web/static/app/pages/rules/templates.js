/** Rules to begin with. */

export const EMPTY = {
  name: "", when: "", service: "", target: {kind: "process", options: {}}, select: "latest",
  gates: [], rollout: {}, owner: "",
};

/** @type {Object<string, {title: string, about: string, spec: Object}>} */
export const TEMPLATES = {
  tested: {
    title: "The newest model that passed its tests",
    about: "Somebody, or a task, sets passes_tests; that deploys it.",
    spec: {
      ...EMPTY, name: "client-ltv", service: "client-ltv",
      when: "canonical_name == 'client_ltv' and passes_tests == 'true'",
    },
  },
  best: {
    title: "The best model by a metric",
    about: "Of all that match, the one with the greatest (or least) value, and never a worse one than what runs.",
    spec: {
      ...EMPTY, name: "client-ltv", service: "client-ltv", select: "max metric.validation_auc",
      when: "canonical_name == 'client_ltv'", gates: [{not_worse: {metric: "metric.validation_auc"}}],
    },
  },
  canary: {
    title: "With a canary first",
    about: "A tenth of the requests go to the new model; it gets the rest when it fails no more often and is no slower.",
    spec: {
      ...EMPTY, name: "client-ltv", service: "client-ltv",
      when: "canonical_name == 'client_ltv' and passes_tests == 'true'",
      rollout: {canary: {share: 0.1}},
    },
  },
};
