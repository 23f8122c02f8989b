from typing import Protocol, runtime_checkable

import pytest

from eafl_flower.conforming import asked_once


@runtime_checkable
class Speaks(Protocol):
    @property
    def words(self): ...

    def speak(self): ...


class Parrot:
    def __init__(self):
        self.words = ("hello",)

    def speak(self): ...


class Mute:
    words = ()


@pytest.mark.parametrize("value", [Parrot(), Parrot, Mute(), 3, None])
def test_it_says_what_isinstance_says_however_often_it_is_asked(value):
    speaks = asked_once(Speaks)
    assert [speaks(value) for _ in range(3)] == [isinstance(value, Speaks)] * 3


def test_a_type_is_asked_once(monkeypatch):
    asked = []

    class Noting(type(Speaks)):
        def __instancecheck__(cls, instance):
            asked.append(instance)
            return True

    class Noted(metaclass=Noting):
        pass

    conforms = asked_once(Noted)
    assert all(conforms(Parrot()) for _ in range(5))
    assert len(asked) == 1


class Wrapped:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.__dict__["inner"], name)


def test_of_what_is_wrapped_each_object_is_asked():
    speaks = asked_once(Speaks)
    assert [speaks(Wrapped(inner)) for inner in (Mute(), Parrot(), Mute())] == [False, True, False]
