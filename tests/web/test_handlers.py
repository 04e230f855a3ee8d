import gradio as gr
import pytest

from infer.lib.errors import BadInput
from infer.web.handlers import guarded


def bubble_of(error: Exception) -> gr.Error:
    def handler():
        raise error

    with pytest.raises(gr.Error) as raised:
        guarded(handler)()
    return raised.value


def test_an_expected_failure_says_what_and_what_to_do():
    assert (
        bubble_of(BadInput("a.wav is empty", "record it again")).message == "a.wav is empty: record it again"
    )


def test_a_refused_value_is_shown():
    assert (
        bubble_of(ValueError("protect is 3; it must be 0..0.5")).message == "protect is 3; it must be 0..0.5"
    )


def test_a_full_disk_is_a_sentence():
    message = bubble_of(OSError(28, "No space left on device", "/x/y.wav")).message
    assert "/x/y.wav" in message and "free some space" in message


@pytest.mark.parametrize("error", [ValueError(), RuntimeError(), KeyError("speaker"), AssertionError()])
def test_no_bubble_is_empty(error):
    assert type(error).__name__ in bubble_of(error).message


def test_a_bug_leaves_its_traceback_on_the_console(caplog):
    bubble_of(ZeroDivisionError("division by zero"))
    assert "ZeroDivisionError" in caplog.text and "test_handlers" in caplog.text


def test_an_answer_passes():
    assert guarded(lambda a, b=1: a + b)(2, b=3) == 5


def test_a_generator_stays_one_and_is_guarded_to_its_end():
    def steps():
        yield 1
        raise BadInput("the second step failed")

    running = guarded(steps)()
    assert next(running) == 1
    with pytest.raises(gr.Error, match="the second step failed"):
        next(running)
