"""The service does what its own OpenAPI says: what that allows is answered, and all else refused as it says."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from serving import BOARD, running

from trm.serve.backend import torch_backend

KEY = "secret"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
QUICK = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", params=["sudoku-4x4", "arc-toy"])
def schema(request: pytest.FixtureRequest) -> Iterator[schemathesis.BaseSchema]:
    load_all_checks()
    with running({request.param: torch_backend(request.param, request.param, views=1)}, key=KEY) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_answers_are_those_that_the_schema_describes(schema: schemathesis.BaseSchema, mode: GenerationMode) -> None:
    unsaid = [CHECKS.get_one("positive_data_acceptance")]  # no schema contains which text is a board
    for operation in (found.ok() for found in schema.get_all_operations()):
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # it accepts nothing that could be wrong

        @QUICK
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case) -> None:
            case.call_and_validate(headers=AUTHORIZED, excluded_checks=unsaid)

        check()


def test_a_solution_is_as_the_schema_describes(schema: schemathesis.BaseSchema, request: pytest.FixtureRequest) -> None:
    puzzles: list[Any] = [BOARD, [list(BOARD[row : row + 4]) for row in range(0, 16, 4)]]
    if "arc-toy" in request.node.name:
        puzzles = [{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]]}]}]
    body = {"puzzles": puzzles, "trace": True}
    case = schema["/solve"]["POST"].Case(body=body, media_type="application/json")
    assert case.call_and_validate(headers=AUTHORIZED).status_code == 200
