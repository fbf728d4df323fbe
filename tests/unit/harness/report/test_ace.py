from stackemu.harness.report import ace

PROTOTYPE = "(struct _FLT_CALLBACK_DATA *Data, void *Context)"


def test_the_2011_lines(make_function, make_measurement) -> None:
    document = make_measurement(
        make_function("PtNormalizeNameComponentExCallback", rva=0x5450, prototype=PROTOTYPE),
        make_function("PtUnload", rva=0x10, locals_bytes=4),
    )
    assert ace.render(document, document.functions) == (
        "96 bytes used for locals by func: a5de5450 PassThrough!PtNormalizeNameComponentExCallback "
        f"{PROTOTYPE}\n"
        "4 bytes used for locals by func: a5de0010 PassThrough!PtUnload = \n"
    )


def test_functions_without_known_locals_are_left_out(make_function, make_measurement) -> None:
    document = make_measurement(
        make_function("A", locals_bytes=0), make_function("B", locals_bytes=None), make_function("C")
    )
    assert [function.name for function in ace.listed(document.functions)] == ["C"]
    assert ace.render(document, document.functions).count("\n") == 1


def test_addresses_are_eight_digits_and_on_x64_two_groups(make_function, make_measurement) -> None:
    low = make_measurement(make_function(address=0x1234))
    assert " 00001234 PassThrough!" in ace.render(low, low.functions)
    high = make_measurement(make_function(address=0xFFFFF80600001234), machine="x64")
    assert " fffff806`00001234 PassThrough!" in ace.render(high, high.functions)


def test_a_hostile_name_stays_on_its_line(make_function, make_measurement) -> None:
    document = make_measurement(make_function("A\nB\x1b"))
    assert ace.render(document, document.functions).splitlines()[0].endswith(r"PassThrough!A\nB\x1b = ")
