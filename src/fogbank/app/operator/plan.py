"""``fogbank plan``: what the control loop would change now and changed lately, and what a plan would do."""

from collections.abc import Iterable
from dataclasses import dataclass

from fogbank.app.operator.terraform import TerraformPlans
from fogbank.control.loop import ControlLoop
from fogbank.control.operator import Json, Question, Route
from fogbank.planning.words import action_json
from fogbank.resources.operations import rfc3339

__all__ = ["PlanApi", "TerraformPlans"]


@dataclass(frozen=True, slots=True)
class PlanApi:
    """Answers from the control loop; what concerns Terraform, ``terraform`` does."""

    loop: ControlLoop
    terraform: TerraformPlans

    def routes(self) -> Iterable[Route]:
        """List what can be asked."""
        yield Route("GET", "plan", self.plan)
        yield Route("POST", "plan/terraform", self.terraform.flows)

    async def plan(self, _: Question) -> Json:
        """Show what would change now and the last passes of the control loop, oldest first."""
        return {
            "pending": [action_json(action) for action in await self.loop.pending()],
            "passes": [
                {
                    "time": rfc3339(turn.at),
                    "worldVersion": turn.version,
                    "milliseconds": round(turn.seconds * 1000, 3),
                    "actions": [action_json(action) for action in turn.plan],
                    "failures": {"/".join(key): why for key, why in turn.failures.items()},
                }
                for turn in self.loop.progress.passes
            ],
        }
