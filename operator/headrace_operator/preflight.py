"""What must be so before a replica can work: an API server that answers, lets it read jobs, and keeps what it writes."""

import asyncio
import logging

from headrace_operator import contract, permissions
from headrace_operator.api import Api, ApiError, ForbiddenError, NotFoundError
from headrace_operator.settings import Settings

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1
"""Pause between two tries to reach a cluster that is ready for an operator."""
PUBLISHED_SECONDS = 5
"""How long a CustomResourceDefinition that was just changed may be described as it was."""


class Preflight:
    """Says each problem once, however long it lasts."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._told = ""
        self._permissions_told = False

    async def passed(self) -> None:
        """Returns once the API server answers and knows TrainingJobs as this operator does.

        A missing permission is told here, and met again when it is needed. Of several watched namespaces one that can be read is
        enough: the others may come, and must not hold it up.
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
            return f"the API server knows no TrainingJobs: apply the CustomResourceDefinition ({apply})"
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
        """Names every permission that this account lacks; asked for once. What cannot be asked now is met when it is needed."""
        if self._permissions_told:
            return
        try:
            for line in await permissions.missing(self._api, self._settings):
                logger.error("this account %s; rbac.create=true, or `headrace_operator rbac` (docs/install.md), gives it", line)
        except ApiError as error:
            logger.warning("permissions were not all checked: %s", error)
        self._permissions_told = True

    async def _contract_problem(self) -> str | None:
        """Tells how the CustomResourceDefinition differs from this operator's; a problem only where it cuts the status short.

        Raises:
            ApiError: it cannot be asked for.
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
