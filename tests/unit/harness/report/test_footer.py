from stackemu.harness.report.footer import Note, as_lines, run_notes, static_notes


def texts(notes: list[Note], label: str) -> list[str]:
    return [note.text for note in notes if note.label == label]


def test_functions_with_the_same_reason_share_a_line(make_function, make_measurement) -> None:
    functions = [make_function(f"Pt{n}", verdict="not-run", depth=None, why="no stub") for n in range(5)]
    functions.append(make_function("PtX", verdict="not-run", depth=None, why=None))
    assert texts(run_notes(make_measurement(*functions), 6), "not-run") == [
        "Pt0, Pt1, Pt2 and 2 more: no stub",
        "PtX: no reason recorded",
    ]


def test_only_a_few_reasons_are_shown_unless_verbose(make_function, make_measurement) -> None:
    functions = [make_function(f"Pt{n}", verdict="within", why=f"reason {n}") for n in range(5)]
    document = make_measurement(*functions)
    assert texts(run_notes(document, 5), "within")[3:] == ["... and 2 more; -v shows them"]
    assert len(texts(run_notes(document, 5, verbose=True), "within")) == 5


def test_every_wrong_static_figure_is_shown_and_comes_first(make_function, make_measurement) -> None:
    functions = [make_function(f"Pt{n}", verdict="exceeds", why=f"reason {n}") for n in range(5)]
    notes = run_notes(make_measurement(*functions), 5)
    assert [note.label for note in notes[1:6]] == ["exceeds"] * 5


def test_rows_that_are_not_shown_are_counted(make_function, make_measurement) -> None:
    document = make_measurement(make_function("A"), make_function("B"))
    assert run_notes(document, 1)[0].text.startswith("1 shown of 2 in PassThrough.sys")


def test_the_next_command_answers_the_open_question(make_function, make_measurement) -> None:
    within = make_function("PtA", verdict="within")
    exceeds = make_function("operator new", verdict="exceeds")
    missing = make_function("PtC", verdict="not-run", depth=None)

    def following(*functions, **options) -> str:
        return run_notes(make_measurement(*functions, **options), len(functions))[-1].text

    assert following(within, exceeds) == "stackemu run PassThrough.sys --func 'operator new' --single-step -v"
    assert following(within, missing) == "stackemu run PassThrough.sys --func PtA --inputs 1000 -v"
    assert following(missing) == "stackemu run PassThrough.sys -v"
    assert following(make_function()) == "stackemu run PassThrough.sys --format json -o PassThrough.sys.json"


def test_the_next_command_names_symbols_that_are_elsewhere(make_function, make_measurement) -> None:
    document = make_measurement(make_function(), path="/drivers/my driver.sys")
    assert static_notes(document, 1)[-1].text == ("stackemu run '/drivers/my driver.sys' --symbols PassThrough.pdb")


def test_static_notes_say_which_functions_have_no_constant_figure(make_function, make_measurement) -> None:
    document = make_measurement(make_function("PtA", static_own=None, open_reasons=("alloca", "recursion")))
    assert texts(static_notes(document, 1), "no constant") == ["PtA: alloca; recursion"]


def test_a_note_without_text_keeps_its_label() -> None:
    assert as_lines([Note("warning", "")], 80) == [("warning: ", "")]


def test_lines_are_folded_between_words_except_commands() -> None:
    notes = [Note("within", "one two three four five six"), Note("next", "a " * 30, command=True)]
    assert as_lines(notes, 30) == [
        ("within: ", "one two three four"),
        ("        ", "five six"),
        ("next:   ", "a " * 30),
    ]
