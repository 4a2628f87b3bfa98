"""Tags of envelopes as one boolean expression: parsed, evaluated, explained.

    canonical_name == 'client_ltv' and region in ('US', 'UK') and not archived
    metric.validation_auc > 0.9 and tag['odd-key'] != 'x'

A bare key means "has this tag". `!=`, `not` and `not in` include envelopes without the tag.
"""

from model_envelope.tag_query.parsing import parse
from model_envelope.tag_query.query import Clause, TagQuery

__all__ = ["Clause", "TagQuery", "parse"]
