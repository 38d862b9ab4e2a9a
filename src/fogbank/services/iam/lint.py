"""The check of a condition before it is set: what ``gcloud alpha iam policies lint-condition`` asks.

gcloud names that command whenever a policy is refused (behaviour/iam.md#conditions).
"""

from fogbank.resources.conditions import ConditionError, parse_condition
from fogbank.resources.world import Json, World
from fogbank.services.contract import Call


def lint_policy(_world: World, call: Call) -> Json:
    """Answer with what is wrong with a condition's expression; with nothing when it can be evaluated."""
    try:
        parse_condition(str((call.body.get("condition") or {}).get("expression") or ""))
    except ConditionError as error:
        result = {
            "level": "CONDITION",
            "validationUnitName": "LintValidationUnits/ConditionCompileCheck",
            "severity": "ERROR",
            "fieldName": "condition.expression",
            "debugMessage": f"Condition expression compilation failed. Errors: {error}.",
        }
        return {"lintResults": [result]}
    return {}
