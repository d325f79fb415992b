"""Boards in the forms in which people keep them, and those that are refused rather than guessed."""

import numpy as np
import pytest

from trm.data import Maze, Sudoku
from trm.data.boards import split_boards
from trm.data.maze.text import notation as of_mazes
from trm.data.sudoku.text import notation
from trm.errors import InputError

BOARD = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
ROWS = [BOARD[first : first + 9] for first in range(0, 81, 9)]
DIGITS = [[int(cell.replace(".", "0")) for cell in row] for row in ROWS]
DATA = Sudoku(size=9)
TOKENS = DATA.parse(BOARD)


def ruled(row: str, rule: str, rows: list[str] = ROWS) -> str:
    """Lines of a board with a rule between its bands; ``row`` has a place for each box."""
    lines = [row.format(line[:3], line[3:6], line[6:]) for line in rows]
    return "\n".join([*lines[:3], rule, *lines[3:6], rule, *lines[6:]])


FORMS = {
    "a line": BOARD,
    "zeros": BOARD.replace(".", "0"),
    "stars": BOARD.replace(".", "*"),
    "underscores": BOARD.replace(".", "_"),
    "rows": "\n".join(ROWS),
    "rows of an old Mac, after a BOM": "\ufeff" + "\r".join(ROWS),
    "spaces": " ".join(BOARD),
    "commas": ",".join(BOARD),
    "rows on one line": "|".join(ROWS),
    "bands": ruled("{}{}{}", ""),
    "pictures of the package": DATA.render_board(TOKENS),
    "pictures in colour": DATA.render_board(TOKENS, np.ones_like(TOKENS), color=True),
    ".sdk": "[Puzzle]\n" + "\n".join(ROWS) + "\n[State]\n" + SOLVED,
    ".sdk with comments": "#ARuud\n#DA random puzzle\n#B03-08-2006\n" + "\n".join(ROWS),
    ".ss": f"*-----------*\n{ruled('|{}|{}|{}|', '|---+---+---|')}\n*-----------*",
    ".ss without a frame": ruled("{}|{}|{}", "-----------"),
    "HoDoKu": f".---.---.---.\n{ruled('| {} | {} | {} |', ':---+---+---:')}\n'---'---'---'",
    "box drawing": f"┌───┬───┬───┐\n{ruled('│{}│{}│{}│', '├───┼───┼───┤')}\n└───┴───┴───┘",
    "a comment behind it": BOARD + " # hard",
    "a rating behind it": BOARD + " 9.2 hard",
    "columns without names": f"{BOARD},{SOLVED},3",
    "the exchange": f"0000183b305c {BOARD.replace('.', '0')}  1.2",
    "Project Euler": "Grid 01\n" + "\n".join(ROWS).replace(".", "0"),
    "a title that has nine letters": "Puzzle 123\n\n" + "\n".join(ROWS),
    "JSON": str(DIGITS),
    "JSON in lines": str(DIGITS).replace("], ", "],\n"),
    "Kaggle's million": f"quizzes,solutions\n{BOARD.replace('.', '0')},{SOLVED}",
    "Kaggle's three million": f"id,puzzle,solution,clues,difficulty\n1,{BOARD},{SOLVED},30,2.2",
    "semicolons": f'Puzzle;"Rating"\n{BOARD};2',
    "tabs": f"name\tquestion\nx\t{BOARD}",
    "rows in a quoted field": 'board,name\n"' + "\n".join(ROWS) + '",x',
    "a board of trm solve": f"{BOARD}  ; breaks the rules: row 1, column 3 is blank; 1 supervision step",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_board_is_read_in_every_form(form: str) -> None:
    assert np.array_equal(DATA.parse(FORMS[form]), TOKENS)
    (board,) = DATA.split_text(FORMS[form].splitlines())
    assert np.array_equal(DATA.parse(board.question), TOKENS)
    assert not board.fault


def test_boards_of_all_forms_follow_each_other_in_one_list() -> None:
    tables = [form for form in FORMS if "Kaggle" in form or form in ("semicolons", "tabs", "rows in a quoted field")]
    lists = [form for form in FORMS if form not in [*tables, ".sdk", "rows of an old Mac, after a BOM"]]
    text = "\n\n".join(FORMS[form] for form in lists)
    boards = list(DATA.split_text(text.splitlines()))
    assert [len(board.question) for board in boards] == [81] * len(lists)
    assert all(np.array_equal(DATA.parse(board.question), TOKENS) for board in boards)


def test_answers_ratings_and_lines_are_found() -> None:
    text = f"# Kaggle's\n\nid,puzzle,solution,difficulty\n1,{BOARD},{SOLVED},2.5\n2,{BOARD},,0\n"
    boards = list(split_boards(text.splitlines(), notation(9)))
    assert [(board.line, board.answer, board.rating) for board in boards] == [(4, SOLVED, 2.5), (5, "", 0.0)]
    (board,) = split_boards([f"{BOARD} {SOLVED}"], notation(9))
    assert board.answer == SOLVED


@pytest.mark.parametrize(
    ("lines", "shapes"),
    [
        (ROWS[:8], [79]),
        ([*ROWS[:8], "", *ROWS], [79, 81]),
        ([*ROWS, ROWS[0]], [99]),
        ([*ROWS[:8], "12345678"], [88]),
        ([*ROWS[:3], "", *ROWS[3:5]], [49]),
        ([BOARD, "1234", BOARD], [81, 4, 81]),
        ([BOARD[:-1], BOARD], [80, 81]),
        ([".2..", "4..1", "3...", "...4", BOARD, ".2..4..13......4"], [16, 81, 16]),
    ],
    ids=[
        "a row is missing",
        "of the first",
        "a row too many",
        "a cell",
        "a band",
        "a short line",
        "a cell of a line",
        "another size",
    ],
)
def test_what_does_not_add_up_is_returned_as_it_stands(lines: list[str], shapes: list[int]) -> None:
    boards = list(DATA.split_text(lines))
    assert [len(board.question) for board in boards] == shapes
    for board in boards:
        if len(board.question) != 81:
            with pytest.raises(InputError, match=r"has \d+ cells, but 9x9 Sudoku has 81"):
                DATA.parse(board.question)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BOARD}\n{BOARD}", "contains 2 boards, but one is accepted"),
        ("\n".join([*ROWS[:8], "12x456789"]), "'X' in row 9, column 3"),
        ("boards.txt", "has 10 cells"),
        ("", "has 0 cells"),
        ("é" * 81, "has 'É' in row 1, column 1"),
        ("9" * 99_999, "has 99,999 cells"),
    ],
    ids=["two boards", "a letter", "a name", "nothing", "no ASCII", "a long line"],
)
def test_text_that_is_no_board_is_refused_in_one_short_sentence(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        DATA.parse(text)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", [f"{BOARD} {BOARD}", f'["{BOARD}", "{BOARD}"]', f"{BOARD},{SOLVED[:-1]}0"])
def test_a_second_board_of_a_line_is_not_dropped(line: str) -> None:
    (board,) = DATA.split_text([line])
    assert board.fault == "it has 2 boards, but one is accepted, with its answer"


@pytest.mark.parametrize("behind", [f",{SOLVED}", "  # hard", " 7.2/1.2/1.2", f",{SOLVED},{'x' * 81}"])
def test_an_answer_or_remark_may_follow_a_board(behind: str) -> None:
    (board,) = DATA.split_text([BOARD + behind])
    assert (board.question, board.fault) == (BOARD, "")


def test_hexadecimal_boards_are_not_taken_for_those_of_1_to_g() -> None:
    with pytest.raises(InputError, match="has '0' besides another blank; digits are 1 to 9, then A to G"):
        Sudoku(size=16).parse("0." * 128)


def test_a_long_field_is_refused_with_its_line() -> None:
    boards = list(split_boards(["puzzle,solution", f"{BOARD},{SOLVED}", f"{'1' * 200_000},2"], notation(9)))
    assert [(board.line, board.fault[:29]) for board in boards] == [(2, ""), (3, "the table cannot be read on: ")]


MAZE = "S.#......#.....G"


@pytest.mark.parametrize(
    "text",
    [
        MAZE,
        MAZE.replace(".", " "),
        MAZE.replace("G", "E"),
        MAZE.replace(".", "0").replace("#", "1"),
        "S.#.\n....\n.#..\n...G",
        "S #.\n    \n # .\n  .g\n",
        "S 0 1 0\n0 0 0 0\n0 1 0 0\n0 0 0 E",
        "; a maze\n\nS.#.\n....\n.#..\n...G",
        f"maze,solution\n{MAZE.replace('.', ' ')},x",
        f"{MAZE}  ; obeys the rules; 1 supervision step",
        "So#.\n.o..\n.#o.\n..oG",
    ],
)
def test_a_maze_is_read_in_the_common_letters(text: str) -> None:
    (board,) = split_boards(text.splitlines(), of_mazes(4))
    assert Maze(size=4).parse(board.question).tolist() == Maze(size=4).parse(MAZE).tolist()
    if "\n" not in text or "," not in text:
        assert np.array_equal(Maze(size=4).parse(text), Maze(size=4).parse(MAZE))


def test_how_the_digits_of_a_maze_are_understood_is_printed(caplog: pytest.LogCaptureFixture) -> None:
    from trm.data.maze.text import note_digits

    note_digits.cache_clear()
    with caplog.at_level("INFO"):
        Maze(size=4).parse(MAZE.replace(".", "0").replace("#", "1"))
        Maze(size=4).parse(MAZE.replace(".", "0").replace("#", "1"))
    assert caplog.messages.count("A maze of digits: 1 is read as a wall, 0 as a free cell.") == 1


def test_what_a_maze_is_printed_as_can_be_read_back() -> None:
    data = Maze(size=4)
    tokens = data.parse(MAZE)
    answer = data.complete(tokens, np.zeros((16, 6))).answer
    for text in (data.render_board(answer, tokens), data.render_board(answer, tokens, color=True), data.write(answer)):
        assert np.array_equal(data.parse(text), tokens)
