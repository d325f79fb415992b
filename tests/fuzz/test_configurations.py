"""Whatever stands in a configuration: it is a setting, or it is refused in one sentence and nothing is written."""

from pathlib import Path

import pytest
from command import FOUR
from fuzzing import examples, outcome
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.sampled_from(
    [
        *("", "null", "true", "-1", "1e9", ".nan", "[]", "{}", "[1, 2", "{a: 1}", "'", "*x", "&a [*a]", "\t", "- 1"),
        *("!!python/object:os.system x", "x.Y", "trm.data.Sudoku", "os.system", "\x1b[31m", "\u00e9", "9" * 5000),
    ]
)


@st.composite
def configurations(draw: st.DrawFn, text: str) -> bytes:
    """Draw a configuration that is cut, mixed up, or has other values."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["value", "delete", "repeat", "indent", "cut", "text"])):
            case "value":
                lines[at] = f"{lines[at].partition(':')[0]}: {draw(VALUES)}"
            case "delete":
                lines[at] = ""
            case "repeat":
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case "indent":
                lines[at] = " " * draw(st.integers(0, 5)) + lines[at].strip()
            case "cut":
                lines = lines[: at + 1]
            case "text":
                lines[at] = draw(st.text(max_size=20))
    return "\n".join(lines).encode(draw(st.sampled_from(["utf-8", "utf-16", "latin-1"])), errors="replace")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is of an earlier run")
@examples(30)
@given(st.data())
def test_a_configuration_is_taken_or_refused(
    here: Path, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    text = Path("configs/quickstart.yaml").read_text(encoding="utf-8")
    Path("x.yaml").write_bytes(data.draw(configurations(text)))
    command = data.draw(st.sampled_from([["fit"], ["test", "--ckpt_path=sudoku-4x4"], ["data", "check"]]))
    options = [option for option in FOUR if command != ["data", "check"] or option.startswith("--data.")]
    outcome([*command, "--config=x.yaml", *options, *(["--print_config"] if command == ["fit"] else [])], capsys)
