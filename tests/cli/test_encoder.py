import pytest


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.csv"
    rows = [f"likes {n},yes\nwhen is {n} ?,no" for n in range(30)]
    path.write_text("\n".join(["text,label", *rows]))
    return str(path)


def test_an_encoder_is_made_listed_and_found(eafl, base):
    pytest.importorskip("transformers", reason="needs transformers: pip install 'eafl-flower[lora]'")
    size = ("--layers", "1", "--width", "16", "--heads", "2", "--vocabulary", "60", "--passes", "1")
    made = eafl("encoder", "make", "--corpus", base, "--not-like", "", *size)
    assert made.code == 0, made.err
    path = made.out.splitlines()[-1]
    assert eafl("encoder", "path", *size).out.strip() == path
    assert path in eafl("encoder", "list").out


def test_without_an_encoder_the_command_that_makes_it_is_told(eafl):
    assert "eafl encoder make" in eafl("encoder", "list").out
    ended = eafl("encoder", "path", "--seed", "4")
    assert ended.code == 1
    assert "run `eafl encoder make --seed 4`" in ended.err


def test_what_is_wrong_is_one_line(eafl, base):
    ended = eafl("encoder", "make", "--corpus", base, "--not-like", "imdb")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert '"imdb" is no text set that we know' in ended.err
    assert eafl("encoder", "calibrate", "--ranks", "4,x").code == 2
