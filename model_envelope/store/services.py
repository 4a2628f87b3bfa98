"""The part of the store that says what runs where: services and their deployments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from model_envelope import names
from model_envelope.errors import InvalidInput
from model_envelope.store import claiming, deploying, lineage
from model_envelope.store.database import Database, as_stored
from model_envelope.store.deploying import Outcome
from model_envelope.store.rows import (
    DeploymentRecord,
    LiveRoute,
    ServiceRecord,
    StepRecord,
    StepState,
)

NOTHING: Mapping[str, Any] = MappingProxyType({})


class ServiceLedger:
    """Services and deployments; one transaction for each call, see `Store`.

    Who works on a service claims it first, and shows the fence that this gave with all it
    does: `FenceLost` says that another process has taken over.
    """

    _database: Database

    # Services

    def want(
        self,
        service: str,
        *,
        target: Mapping[str, Any] | None,
        envelope_id: str | None,
        by: str,
        reason: str = "",
        pinned: bool = False,
        retry: bool = False,
    ) -> ServiceRecord:
        """Say what a service should run: a new generation where that is something new.

        Args:
            service: its name; it is made when it is new.
            target: `{"kind": …, "options": {…}}`; the service's own if None.
            envelope_id: None where it should not run.
            by: who says so.
            reason: why.
            pinned: no rule may say anything else from now on.
            retry: a new generation, too, where the last one was tried and nothing is new.

        Raises:
            InvalidName: no service can be called so.
            InvalidInput: a new service without a target, or a target of another form.
            EnvelopeNotFound: there is no such envelope.
        """
        names.check_service(service)
        where = None if target is None else _target(target)
        return self._database.write(
            lambda c: claiming.want(
                c,
                service,
                target=where,
                envelope_id=envelope_id,
                by=by,
                reason=reason,
                pinned=pinned,
                retry=retry,
            )
        )

    def want_by_rule(
        self,
        rule: str,
        revision: int,
        *,
        service: str,
        generation: int,
        target: Mapping[str, Any],
        envelope_id: str,
        reason: str = "",
        retry: bool = False,
    ) -> ServiceRecord | None:
        """Say what a rule makes of a service, unless what it was made from changed since.

        Args:
            rule: its name.
            revision: the rule's, which must still be the current one, and not paused.
            service: the rule's.
            generation: the service's, which must still be so; 0 where it is new.
            target: see `want`.
            envelope_id: what matches.
            reason: why.
            retry: see `want`.

        Returns:
            The service; None, with nothing changed, when something else is so by now, or
            when the service is pinned.

        Raises:
            EnvelopeNotFound: there is no such envelope.
        """
        names.check_service(service)
        where = _target(target)
        return self._database.write(
            lambda c: claiming.want_by_rule(
                c,
                service,
                rule=rule,
                revision=revision,
                generation=generation,
                target=where,
                envelope_id=envelope_id,
                reason=reason,
                retry=retry,
            )
        )

    def service(self, name: str) -> ServiceRecord:
        """A service by its name.

        Raises:
            ServiceNotFound: there is none.
        """
        return self._database.read(lambda c: claiming.get(c, name))

    def services(self) -> tuple[ServiceRecord, ...]:
        """Every service that ever was, by name."""
        return self._database.read(claiming.find)

    def claim(self, service: str, owner: str, lease: timedelta) -> int | None:
        """Take a service for a while; gives the fence, or None while another holds it.

        Deployments that the last holder left running become `superseded`.

        Args:
            service: its name.
            owner: names this attempt and no other; who asks again gets the same fence.
            lease: how long others must wait, unless it is renewed.

        Raises:
            ServiceNotFound: there is none.
            InvalidInput: no owner, or no time.
        """
        if not owner:
            raise InvalidInput("A claim needs an owner: a name that no other claim has.")
        _check_lease(lease)
        return self._database.write(lambda c: claiming.claim(c, service, owner, lease))

    def renew(self, service: str, fence: int, lease: timedelta) -> None:
        """Hold a service for longer from now on.

        Raises:
            FenceLost: another process has taken it over, or it was released.
        """
        _check_lease(lease)
        self._database.write(lambda c: claiming.renew(c, service, fence, lease))

    def release_claim(self, service: str, fence: int) -> None:
        """Let others claim a service at once.

        Raises:
            FenceLost: another process has taken it over.
        """
        self._database.write(lambda c: claiming.release(c, service, fence))

    def observe(self, service: str, fence: int, generation: int) -> None:
        """Record that a generation, and those before, were tried, whatever came of it.

        Raises:
            FenceLost: another process has taken the service over, or it was released.
        """
        self._database.write(lambda c: claiming.observe(c, service, fence, generation))

    # Deployments

    def begin_deployment(
        self,
        service: str,
        fence: int,
        deployment_id: str,
        *,
        envelope_id: str,
        by: str,
        generation: int,
        target: Mapping[str, Any] | None = None,
        airflow: Mapping[str, str] = NOTHING,
    ) -> DeploymentRecord:
        """Enter an attempt into the ledger; the same id again gives what is there.

        Args:
            service: which is claimed.
            fence: which the claim gave.
            deployment_id: a new id, by `names.new_id`.
            envelope_id: what is to run.
            by: who wants it.
            generation: of the service, that this attempt is for.
            target: what it runs on and with; what is wanted of the service unless given.
            airflow: the task that makes it, if any; see `environment.provenance`.

        Raises:
            EnvelopeNotFound: there is no such envelope.
            FenceLost: another process has taken the service over, or it was released.
        """
        names.check_id(deployment_id)
        where = None if target is None else _target(target)
        return self._database.write(
            lambda c: deploying.begin(
                c,
                service,
                fence,
                deployment_id,
                envelope_id=envelope_id,
                by=by,
                generation=generation,
                target=where,
                airflow=airflow,
            )
        )

    def add_step(
        self,
        deployment_id: str,
        fence: int,
        name: str,
        state: StepState,
        detail: Mapping[str, Any] = NOTHING,
    ) -> StepRecord:
        """Append what a step came to; the very same as the last one is there already.

        Raises:
            DeploymentError: there is no such deployment.
            FenceLost: another process has taken the service over, or it was released.
            InvalidInput: `detail` is no plain JSON.
        """
        plain = as_stored(detail, f"What the step {name!r} came to")
        return self._database.write(
            lambda c: deploying.add_step(
                c, deployment_id, fence, name=name[:128], state=state, detail=plain
            )
        )

    def go_live(self, service: str, fence: int, deployment_id: str, url: str) -> DeploymentRecord:
        """Make a deployment the live one from now on; the one before is retired at once.

        Raises:
            DeploymentError: it is of another service, or has ended.
            FenceLost: another process has taken the service over, or it was released.
        """
        return self._database.write(
            lambda c: deploying.go_live(c, service, fence, deployment_id, url)
        )

    def end_deployment(
        self, deployment_id: str, fence: int, outcome: Outcome, reason: str = ""
    ) -> DeploymentRecord:
        """Record why a running deployment did not go live; one that ended stays as it is.

        Raises:
            DeploymentError: it is live, or there is none.
            FenceLost: another process has taken the service over, or it was released.
        """
        return self._database.write(
            lambda c: deploying.end(c, deployment_id, fence, outcome, reason)
        )

    def undeployed(self, service: str, fence: int) -> None:
        """Record that nothing of a service runs any more.

        Raises:
            FenceLost: another process has taken the service over, or it was released.
        """
        self._database.write(lambda c: deploying.undeployed(c, service, fence))

    def deployment(self, deployment_id: str) -> DeploymentRecord:
        """A deployment by its id.

        Raises:
            DeploymentError: there is none.
        """
        return self._database.read(lambda c: deploying.get(c, deployment_id))

    def deployments(
        self,
        service: str | None = None,
        envelope_id: str | None = None,
        limit: int = 50,
        *,
        before: str | None = None,
    ) -> tuple[DeploymentRecord, ...]:
        """Deployments, the newest first: all, of a service, of an envelope, before another."""
        return self._database.read(lambda c: deploying.find(c, service, envelope_id, limit, before))

    def deployments_of_run(
        self, dag_id: str, run_id: str, limit: int = 500
    ) -> tuple[DeploymentRecord, ...]:
        """What a run of a DAG deployed, or tried to, the latest first."""
        key = lineage.key(dag_id, run_id)
        return self._database.read(lambda c: deploying.by_dag_run(c, key, limit))

    def live_deployments(self) -> tuple[DeploymentRecord, ...]:
        """What every service runs, by service."""
        return self._database.read(deploying.live)

    def vain_deployments(self, by: Collection[str]) -> tuple[DeploymentRecord, ...]:
        """Those of some deployers (`rule:<name>@<revision>`) that were never live, oldest first.

        They failed, or were given up and may be tried again.
        """
        return self._database.read(lambda c: deploying.vain(c, by))

    def steps(self, deployment_id: str) -> tuple[StepRecord, ...]:
        """The steps of a deployment, in order."""
        return self._database.read(lambda c: deploying.steps(c, deployment_id))

    def live_at(self, service: str, at: datetime) -> DeploymentRecord | None:
        """What was live at a moment; None if nothing was."""
        return self._database.read(lambda c: deploying.live_at(c, service, at))

    def routes(self, kind: str) -> tuple[LiveRoute, ...]:
        """The live deployment of every service that runs at a kind of target, by service."""
        return self._database.read(lambda c: deploying.routes(c, kind))


def _check_lease(lease: timedelta) -> None:
    if lease <= timedelta(0):
        raise InvalidInput(f"A lease must last longer than {lease}.")


def _target(given: Mapping[str, Any]) -> dict[str, Any]:
    target = {"options": {}, **as_stored(given, "A target")}
    if (
        set(target) != {"kind", "options"}
        or not isinstance(target["kind"], str)
        or not isinstance(target["options"], dict)
    ):
        raise InvalidInput(f"A target is {{'kind': …, 'options': {{…}}}}, not {given!r:.200}.")
    return target
