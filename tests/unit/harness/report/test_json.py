from stackemu.harness.report import json
from stackemu.harness.results import from_json, to_json


def test_the_whole_document_is_what_results_write(make_function, make_measurement) -> None:
    document = make_measurement(make_function("A"), make_function("B"))
    assert json.render(document, document.functions) == to_json(document)


def test_rows_replace_the_functions_and_the_summary_still_counts_all(make_function, make_measurement) -> None:
    document = make_measurement(make_function("A"), make_function("B"))
    shown = from_json(json.render(document, document.functions[1:]))
    assert [function.name for function in shown.functions] == ["B"]
    assert shown.summary.functions == 2
