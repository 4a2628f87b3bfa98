"""Every error the platform raises on purpose.

    EnvelopeError
    ├── InvalidInput (ValueError)          an argument is wrong; nothing was started
    │   ├── InvalidName                    a name, table or URL that could be hostile
    │   ├── InvalidRule                    a deployment rule; says everything that is wrong
    │   ├── InvalidTag                     a tag key or value
    │   ├── TagQueryError                  a tag query that cannot be read; says where
    │   ├── TooMuch                        more than is drawn or sent; says how to narrow it
    │   └── SchemaError                    data and signature do not fit
    ├── EnvelopeNotFound (LookupError)     no envelope matches
    ├── ModelNotPicklable (TypeError)      names the attribute that cannot be saved
    ├── EnvironmentNotCapturable           a dependency that cannot be installed elsewhere
    ├── EnvironmentNotBuildable            the locked environment cannot be resolved or built
    ├── PredictionFailed                   the model's own code raised
    ├── ArtifactError
    │   ├── ArtifactMissing
    │   ├── ArtifactCorrupted              bytes differ from their recorded digest
    │   └── ArtifactExists                 another object is already there
    ├── StoreError
    │   ├── StoreUnavailable               the database cannot be reached
    │   ├── SchemaOutdated                 run `model-envelope db upgrade`
    │   ├── SchemaTooNew                   upgrade this package
    │   ├── LeaseLost                      an upload took longer than its lease
    │   └── SaveConflict                   one save key, two different models
    ├── BatchPredictionFailed              a batch prediction; the output table is untouched
    ├── DeploymentError
    │   ├── DeploymentFailed               a gate refused it; what ran before still does
    │   ├── DeploymentNotFound (LookupError)  no deployment has this id
    │   ├── EnvelopeInUse                  a service runs or wants it, or would roll back to it
    │   ├── FenceLost                      somebody else has taken over the service
    │   ├── RuleChanged                    somebody else has changed the rule meanwhile
    │   ├── RuleNotFound (LookupError)     no rule has this name
    │   ├── ServiceNotFound (LookupError)  nobody ever deployed anything to it
    │   └── TargetFailed                   the place that runs services refused or failed
    └── MissingDependency (ImportError)    an optional package; says what to install

A message names the thing, the cause and the next step. This module imports nothing
beyond the standard library, because it also travels into the models' own environments.
"""

from __future__ import annotations

from functools import partial


class EnvelopeError(Exception):
    """Root of all errors raised on purpose by this package."""


class InvalidInput(EnvelopeError, ValueError):
    """An argument is wrong; no work was started."""


class InvalidName(InvalidInput):
    """A name, table or path does not have the form it must have."""


class InvalidTag(InvalidInput):
    """A tag key or value is not acceptable."""


class InvalidRule(InvalidInput):
    """A deployment rule cannot be read; nothing was changed.

    Attributes:
        name: the rule's, if it has one.
        problems: pairs of the key it is about, or an empty one, and what is wrong.
    """

    def __init__(self, name: object, problems: tuple[tuple[str, str], ...]) -> None:
        self.name = name
        self.problems = problems
        lines = [f"{key}: {problem}" if key else problem for key, problem in problems]
        whose = f"Rule {name!r:.140}" if isinstance(name, str) else "A rule without a name"
        super().__init__("\n  - ".join((f"{whose} cannot be read:", *lines)))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.problems)


class TagQueryError(InvalidInput):
    """A tag query cannot be read.

    Attributes:
        message: what is wrong and what to write instead.
        query: the text as given.
        position: 0-based column where reading failed.
    """

    def __init__(self, message: str, *, query: str, position: int) -> None:
        self.message = message
        self.query = query
        self.position = position
        start = max(0, position - 60)
        excerpt = "".join(c if c.isprintable() else " " for c in query[start : start + 100])
        super().__init__(f"{message}\n  {excerpt}\n  {' ' * (position - start)}^")

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), query=self.query, position=self.position), (self.message,)


class TooMuch(InvalidInput):
    """It is more than is drawn or sent at once."""


class SchemaError(InvalidInput):
    """Data does not fit a signature, or no signature could be derived.

    Attributes:
        problems: one line for each difference.
    """

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        self.problems = problems
        super().__init__("\n  - ".join((message, *problems)))


class EnvelopeNotFound(EnvelopeError, LookupError):
    """No envelope matches."""


class ModelNotPicklable(EnvelopeError, TypeError):
    """The model holds something that cannot be saved."""


class EnvironmentNotCapturable(EnvelopeError):
    """A dependency of the model cannot be installed anywhere else."""


class EnvironmentNotBuildable(EnvelopeError):
    """The environment cannot be locked or installed."""


class PredictionFailed(EnvelopeError):
    """The model's own code raised while predicting."""


class ArtifactError(EnvelopeError):
    """A stored file cannot be used."""


class ArtifactMissing(ArtifactError):
    """A stored file is not there."""


class ArtifactCorrupted(ArtifactError):
    """A stored file differs from its recorded digest; it was not loaded."""


class ArtifactExists(ArtifactError):
    """Other content is already stored under this key."""


class StoreError(EnvelopeError):
    """The store refused or failed."""


class StoreUnavailable(StoreError):
    """The database cannot be reached."""


class SchemaOutdated(StoreError):
    """The database schema is older than this package."""


class SchemaTooNew(StoreError):
    """The database schema is newer than this package."""


class LeaseLost(StoreError):
    """An upload outlived its lease and was swept; save again."""


class SaveConflict(StoreError):
    """A save key was used before for another model."""


class DeploymentError(EnvelopeError):
    """Something about services and what they run."""


class DeploymentFailed(DeploymentError):
    """A gate refused an envelope, or raised; what the service ran before, it still runs."""


class DeploymentNotFound(DeploymentError, LookupError):
    """No deployment has this id."""


class EnvelopeInUse(DeploymentError):
    """A service runs this envelope, wants it, or would roll back to it: it must stay."""


class RuleChanged(DeploymentError):
    """A rule is not any more what a change of it was made from; nothing was changed."""


class RuleNotFound(DeploymentError, LookupError):
    """No rule has this name."""


class ServiceNotFound(DeploymentError, LookupError):
    """Nobody ever asked for anything to be deployed to this service."""


class FenceLost(DeploymentError):
    """Another process has taken over this service since; nothing of ours may touch it."""


class TargetFailed(DeploymentError):
    """The place that runs services refused or failed."""


class BatchPredictionFailed(EnvelopeError):
    """A batch prediction failed; the output table is as it was."""


class MissingDependency(EnvelopeError, ImportError):
    """An optional package is not installed."""
