"""``fogbank plan --terraform``: which flows an apply of Terraform's would break, and which it would open."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from fogbank.clock import Clock
from fogbank.control.loop import ControlLoop
from fogbank.control.operator import Json, Question
from fogbank.errors import OperatorError
from fogbank.frontend.iam.accounts import operator_account
from fogbank.settings import Settings
from fogbank.store.store import Store

if TYPE_CHECKING:
    from fogbank.app.terraform.flows import Difference, NamedFlow, Verdict


@dataclass(frozen=True, slots=True)
class TerraformPlans:
    """Answers from the World as it is, and as a plan would have it; nothing is changed."""

    settings: Settings
    store: Store
    loop: ControlLoop
    clock: Clock
    new_id: Callable[[], int]

    async def flows(self, question: Question) -> Json:
        """Compare the flows before and after an apply of the plan in ``plan``.

        OperatorError when that is no plan, or a flow of ``flows`` is not SOURCE=DESTINATION:PORT.
        """
        return await asyncio.to_thread(self._compared, question.body, self.clock.now())

    def _compared(self, body: Json, now: datetime) -> Json:
        from fogbank.app.registry import services  # slow to import, and seldom asked for
        from fogbank.app.terraform.flows import differences, names, verdicts
        from fogbank.app.terraform.plan_file import read_plan
        from fogbank.app.terraform.preview import Caller, preview
        from fogbank.app.terraform.resources import Defaults, path_of

        world, fleet, observed = self.store.world, self.loop.fleet, self.loop.observed
        asked = [_flow(text) for text in body.get("flows", ())]
        defaults = Defaults(self.settings.project, self.settings.region)
        operator = operator_account(self.settings.project)
        caller = Caller(tuple(services()), defaults, operator, now, self.new_id, observed)
        planned = preview(world, read_plan(body["plan"], path_of(defaults)), caller)
        before = verdicts(world, fleet, observed, now, asked)
        after = verdicts(planned.after, fleet, observed, now, asked)
        if missing := [each for each in asked if each not in before and each not in after]:
            raise OperatorError(
                f"{_text(missing[0])}: such ends are neither in the region nor in the plan. "
                f"These are: {', '.join(names(planned.after, fleet, now))}"
            )
        return {
            "flows": [_shown(each) for each in differences(before, after)],
            "compared": len({*before, *after}),
            "unread": [{"address": address, "reason": why} for address, why in planned.unread],
        }


def _flow(text: str) -> "NamedFlow":
    from fogbank.app.terraform.flows import NamedFlow

    source, _, rest = text.partition("=")
    destination, _, port = rest.rpartition(":")
    if not source or not destination or not port.isdecimal():
        raise OperatorError(f"{text}: a flow is SOURCE=DESTINATION:PORT, as in compute/vm=ifconfig.me:443")
    return NamedFlow(source, destination, int(port))


def _text(flow: "NamedFlow") -> str:
    return f"{flow.source}={flow.destination}:{flow.port}"


def _shown(each: "Difference") -> Json:
    return {
        "change": each.kind,
        "source": each.flow.source,
        "destination": each.flow.destination,
        "port": each.flow.port,
        "before": _verdict(each.before),
        "after": _verdict(each.after),
    }


def _verdict(verdict: "Verdict | None") -> Json | None:
    return None if verdict is None else {"arrives": verdict.arrives, "how": verdict.how}
