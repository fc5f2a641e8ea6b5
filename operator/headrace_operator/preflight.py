"""Checks before a replica starts work: the API server must answer, allow reading jobs, and keep what is written."""

import asyncio
import logging

from headrace_operator import contract, permissions
from headrace_operator.api import Api, ApiError, ForbiddenError, NotFoundError
from headrace_operator.settings import Settings

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1
"""Pause between two checks of whether the cluster is ready."""
PUBLISHED_SECONDS = 5
"""How long the API server may publish the old schema after a CustomResourceDefinition has changed."""


class Preflight:
    """Logs each problem once, however long it lasts."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._told = ""
        self._permissions_told = False

    async def passed(self) -> None:
        """Returns once the API server answers and its TrainingJobs match this operator's.

        Missing permissions are logged here and fail later, when they are needed. One readable namespace out of several watched ones
        is enough: the others may be created later and must not delay the start.
        """
        while problem := await self._problem():
            if problem != self._told:
                logger.error("not ready to work: %s", problem)
                self._told = problem
            await asyncio.sleep(AGAIN_SECONDS)

    async def _problem(self) -> str | None:
        try:
            await self._list_any()
            await self._tell_missing_permissions()
            return await self._contract_problem()
        except ForbiddenError as error:
            await self._tell_missing_permissions()
            return str(error)
        except NotFoundError:
            apply = "helm upgrade with crds.enabled=true, or kubectl apply --server-side --force-conflicts -f crds/"
            return f"the API server does not know TrainingJobs: apply the CustomResourceDefinition ({apply})"
        except ApiError as error:
            return str(error)

    async def _list_any(self) -> None:
        """
        Raises:
            ApiError: no watched namespace can be listed.
        """
        problems: list[ForbiddenError] = []
        for namespace in self._settings.watch_namespaces or (None,):
            try:
                await self._api.list_all_jobs(namespace)
            except ForbiddenError as error:
                problems.append(error)
            else:
                return
        raise problems[0]

    async def _tell_missing_permissions(self) -> None:
        """Logs every permission that this account lacks, once. Those that cannot be checked now fail when they are needed."""
        if self._permissions_told:
            return
        try:
            for line in await permissions.missing(self._api, self._settings):
                logger.error("this account %s; grant it with rbac.create=true or `headrace_operator rbac` (docs/install.md)", line)
        except ApiError as error:
            logger.warning("not all permissions could be checked: %s", error)
        self._permissions_told = True

    async def _contract_problem(self) -> str | None:
        """Logs how the CustomResourceDefinition differs from this operator's; it is a problem only if part of the status is lost.

        Raises:
            ApiError: the definition cannot be read.
        """
        found = contract.differences(await self._api.served_contract())
        if found:
            await asyncio.sleep(PUBLISHED_SECONDS)
            found = contract.differences(await self._api.served_contract())
        if found.cuts_status:
            return "; ".join(found.told())
        for line in found.told():
            logger.warning("%s", line)
        return None
