"""The verbs of online inference: what services should run, and making it so."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from model_envelope.client.wishes import Wish, WishVerbs
from model_envelope.errors import DeploymentError, DeploymentFailed, TargetFailed

if TYPE_CHECKING:
    from model_envelope.artifacts.protocol import ArtifactStore
    from model_envelope.client.client import Query
    from model_envelope.client.envelope import Envelope
    from model_envelope.deployment.keeping import Told
    from model_envelope.deployment.reconciling import Outcome
    from model_envelope.deployment.rollout import Tell
    from model_envelope.deployment.targets.protocol import Platform
    from model_envelope.deployment.targets.replicas import Replicas
    from model_envelope.store.rows import (
        DeploymentRecord,
        ServiceRecord,
        StepRecord,
    )
    from model_envelope.store.store import Store

PATIENCE = 900.0
"""Seconds to wait for another process that is at work on the same service."""

_PAUSE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployed:
    """What a person's request came to.

    Attributes:
        url: where the service answers; None once it is undeployed.
        envelope_id: what it runs.
        deployment: the attempt that brought it there.
        note: what the request means for rules, for people.
    """

    service: str
    url: str | None
    envelope_id: str | None
    deployment: str | None
    note: str = ""


class ServiceVerbs(WishVerbs):
    """The part of the client that is about services."""

    cache: Path
    state: Path
    _envelope: Callable[[Query | Envelope], Envelope]

    if TYPE_CHECKING:

        @property
        def store(self) -> Store:
            """The database."""

        @property
        def artifacts(self) -> ArtifactStore:
            """Where files are."""

        @property
        def actor(self) -> str:
            """Who changes things."""

    @property
    def platform(self) -> Platform:
        """What targets work with."""
        from model_envelope.deployment.targets.protocol import Platform

        return Platform(
            store=self.store, artifacts=self.artifacts, cache=self.cache, state=self.state
        )

    def deploy(
        self,
        q: Query | Envelope,
        service: str,
        *,
        target: str | Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        reason: str = "",
        tell: Tell | None = None,
    ) -> Deployed:
        """Have a service run an envelope, and wait until it does.

        It is started beside what runs, has to be ready and to give the saved outputs for
        its golden rows over HTTP, and gets the traffic then; no request fails meanwhile.
        The service is pinned to it: no rule changes it before `unpin`.

        Args:
            q: a tag query, whose latest match is taken; an envelope's id; or an envelope.
            service: its name, which is part of its URL: a DNS label. It is made if it is new.
            target: where it runs: `process`, `docker`, …; what it was, or `process`, unless
                given. Also with its options: `{"kind": "docker", "replicas": 2}`.
            options: of the target, and `limits` and `log` of the service, see
                `deployment.serving_options`. All of them: those that are not named get their
                defaults.
            reason: for the ledger.
            tell: is told of each step: service, step, state.

        Raises:
            EnvelopeNotFound: nothing matches.
            InvalidInput: the name, the target or an option is wrong; nothing was changed.
            DeploymentFailed: a gate refused it; what ran before still does.
            TargetFailed: something else failed that later reconciles will try again.
        """
        wish = self.want(q, service, target=target, options=options, reason=reason)
        return self._fulfil(wish, tell)

    def rollback(self, service: str, *, reason: str = "", tell: Tell | None = None) -> Deployed:
        """Put back what a service ran before, and wait until it runs.

        The rule that would undo it is paused, which the answer says.

        Raises:
            ServiceNotFound: there is no such service.
            DeploymentError: nothing ran before.
            DeploymentFailed: what ran before does not pass its golden rows any more.
            TargetFailed: something else failed that later reconciles will try again.
        """
        return self._fulfil(self.want_previous(service, reason=reason), tell)

    def undeploy(self, service: str, *, reason: str = "", tell: Tell | None = None) -> Deployed:
        """End a service: requests under way are answered, then nothing of it runs.

        The rule that would bring it back is paused, which the answer says.

        Raises:
            ServiceNotFound: there is no such service.
            TargetFailed: it could not be ended now; later reconciles will.
        """
        return self._fulfil(self.want_nothing(service, reason=reason), tell)

    def unpin(self, service: str) -> ServiceRecord:
        """Let rules change a service again that a person has deployed to.

        Raises:
            ServiceNotFound: there is no such service.
        """
        record = self.store.service(service)
        return self.store.want(
            service,
            target=None,
            envelope_id=record.desired_envelope,
            by=self.actor,
            reason="Unpinned.",
            pinned=False,
        )

    def services(self) -> tuple[ServiceRecord, ...]:
        """Every service, by name: what is wanted of it, and what it runs."""
        return self.store.services()

    def service(self, name: str) -> ServiceRecord:
        """One service.

        Raises:
            ServiceNotFound: there is none of this name.
        """
        return self.store.service(name)

    def deployments(
        self, service: str | None = None, *, limit: int = 50
    ) -> tuple[DeploymentRecord, ...]:
        """The ledger: attempts to deploy, the newest first."""
        return self.store.deployments(service, limit=limit)

    def deployment_steps(self, deployment: str) -> tuple[StepRecord, ...]:
        """What each gate said of an attempt, in order.

        Raises:
            DeploymentError: there is no such deployment.
        """
        self.store.deployment(deployment)
        return self.store.steps(deployment)

    def service_logs(self, service: str, *, lines: int = 200, deployment: str | None = None) -> str:
        """The last lines that a service's live release, or another one, has logged.

        Raises:
            ServiceNotFound: there is no such service.
            DeploymentError: nothing of it runs.
            TargetFailed: the log is gone or cannot be read.
        """
        from model_envelope.deployment.targets.opening import open_target

        record = self.store.service(service)
        chosen = deployment or record.live_deployment
        if chosen is None:
            raise DeploymentError(f"The service {service!r} runs nothing.")
        target = open_target(self.store.deployment(chosen).target["kind"], self.platform)
        return target.logs(chosen, lines)

    def reconcile(
        self,
        services: Collection[str] | None = None,
        *,
        retry: bool = False,
        tell: Tell | None = None,
    ) -> tuple[Outcome, ...]:
        """Have services want what their rules say, and make what they run equal to that.

        It may run as often as one likes, at the same time as others, and be killed anywhere.

        Args:
            services: which; all unless given.
            retry: try again at once what waits for its time after a failure.
            tell: is told of each step: service, step, state.

        Returns:
            What it came to for each service, by name. Nothing is raised for one that fails.

        Raises:
            ServiceNotFound: one of those named.
            StoreError: the store cannot be read.
        """
        from model_envelope.deployment.planning import follow
        from model_envelope.deployment.reconciling import reconcile

        follow(self.store, self.actor, services=services, retry=retry)
        return reconcile(self.platform, services=services, retry=retry, tell=tell)

    def watch(
        self,
        stop: Event,
        *,
        every: float = 5.0,
        services: Collection[str] | None = None,
        told: Told = lambda _: None,
        tell: Tell | None = None,
    ) -> None:
        """Reconcile every few seconds, and have replicas follow the load meanwhile.

        Args:
            stop: ends it, when what it is at has come to its end.
            every: seconds.
            services: which; all unless given.
            told: is told what came out otherwise than the time before, and of each change of
                replicas; from several threads.
            tell: see `reconcile`.

        Raises:
            ServiceNotFound: one of those named.
        """
        from model_envelope.deployment.keeping import keep

        keep(self.platform, self.actor, stop, every=every, services=services, told=told, tell=tell)

    def replicas(self) -> dict[str, tuple[int | None, Replicas]]:
        """How many replicas each live service has, and is to have, by service.

        None where its target does not answer. Services of targets that see to that by
        themselves are left out.
        """
        from model_envelope.deployment.scaling import counted

        return counted(self.platform)

    def pending(self) -> tuple[str, ...]:
        """Have services want what their rules say; names those that need something done."""
        from model_envelope.deployment.planning import follow
        from model_envelope.deployment.reconciling import pending

        follow(self.store, self.actor)
        return pending(self.platform)

    def bring_about(self, service: str, *, tell: Tell | None = None) -> Outcome:
        """Reconcile one service, once nobody else is at work on it, whatever waits or failed.

        Raises:
            ServiceNotFound: there is no such service.
        """
        from model_envelope.deployment.reconciling import reconcile

        ends = time.monotonic() + PATIENCE
        while True:
            (outcome,) = reconcile(self.platform, services=[service], retry=True, tell=tell)
            if outcome.action != "busy" or time.monotonic() > ends:
                return outcome
            time.sleep(_PAUSE)

    def _fulfil(self, wish: Wish, tell: Tell | None) -> Deployed:
        record = wish.record
        outcome = self.bring_about(record.name, tell=tell)
        if outcome.good:
            return Deployed(
                service=outcome.service,
                url=outcome.url,
                envelope_id=outcome.envelope_id,
                deployment=outcome.deployment,
                note=wish.note,
            )
        told = f"{record.desired_envelope or 'Nothing'} to {record.name}: {outcome.reason}"
        if outcome.action == "refused":
            raise DeploymentFailed(f"{told}\nWhat ran before, if anything, still does.")
        if outcome.action in ("held", "retrying"):
            raise TargetFailed(
                f"{told}\nIt stays wanted: `model-envelope reconcile` tries it again, and so does "
                "whatever runs that regularly."
            )
        raise DeploymentError(told)
