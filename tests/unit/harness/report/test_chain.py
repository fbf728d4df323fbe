from stackemu.harness.report import chain


def test_the_chain_begins_with_the_function_itself(make_function) -> None:
    assert chain.links(make_function("A", chain=(("A", 8), ("B", 4)))) == ["A", "B"]
    assert chain.links(make_function("A")) == ["A"]
    assert chain.links(make_function("A", chain=(("funclet", 8),))) == ["A", "funclet"]


def test_recursion_is_counted(make_function) -> None:
    function = make_function("A", chain=(("A", 8), ("B", 4), ("B", 4), ("B", 12)))
    assert chain.links(function) == ["A", "B x3"]
    assert chain.links(function, shares=True) == ["A 8", "B 4 x2", "B 12"]


def test_the_middle_of_a_long_chain_is_counted() -> None:
    names = [f"f{n}" for n in range(12)]
    assert chain.shorten(names) == ["f0", "f1", "f2", "f3", "(5 more)", "f9", "f10", "f11"]
    assert chain.shorten(names[:8]) == names[:8]


def test_folding_happens_between_frames() -> None:
    assert chain.fold(["Alpha", "Beta", "Gamma"], 12) == ["Alpha > Beta", "  > Gamma"]
    assert chain.fold(["Alpha", "Beta", "Gamma"], 1) == ["Alpha", "  > Beta", "  > Gamma"]
    assert chain.fold(["Alpha"], 80) == ["Alpha"]
