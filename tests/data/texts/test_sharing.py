import numpy as np
import pytest

from eafl_flower.data.texts.rows import TextRows
from eafl_flower.data.texts.sharing import share_texts, split_texts, texts_of_vehicles
from eafl_flower.data.texts.words import letters_of
from eafl_flower.errors import ConfigError


def made(number=600, name="made", classes=3):
    labels = np.arange(number) % classes
    texts = tuple(f"text {name} {row}" for row in range(number))
    return TextRows(name=name, texts=texts, labels=labels, class_names=tuple("abc"[:classes]))


def letters(rows):
    return {letters_of(text) for text in rows.texts}


def test_each_text_lies_in_one_part_and_none_is_lost():
    rows = made()
    split = split_texts(rows, seed=1)
    parts = [letters(part) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(rows)


def test_texts_that_are_the_same_stay_together():
    rows = made(40)
    twice = TextRows(
        name="twice",
        texts=(*rows.texts, *(f"{text.upper()} !" for text in rows.texts)),
        labels=np.tile(rows.labels, 2),
        class_names=rows.class_names,
    )
    split = split_texts(twice, seed=1)
    parts = [letters(part) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(rows)


def test_every_part_has_its_share_of_every_class():
    split = split_texts(made(600), seed=2, validation_share=0.1, test_share=0.2)
    for part, each in ((split.train, 140), (split.validation, 20), (split.test, 40)):
        assert set(part.counts.values()) == {each}


def test_another_seed_splits_otherwise_and_the_same_seed_the_same():
    one, again, other = (split_texts(made(), seed=seed).test.texts for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize("partition", ["iid", "dirichlet", "dirichlet-equal", "quantity"])
def test_every_text_goes_to_one_vehicle_and_every_vehicle_has_some_of_every_task(partition):
    tasks = {name: split_texts(made(name=name), seed=1) for name in ("one", "two")}
    vehicles = texts_of_vehicles(tasks, vehicles=9, seed=1, partition=partition)
    for name, split in tasks.items():
        for side in ("train", "test"):
            owned = [letters(getattr(vehicle[name], side)) for vehicle in vehicles]
            assert min(map(len, owned)) > 0
            assert sum(map(len, owned)) == len(set.union(*owned)) == len(getattr(split, side))


def test_labels_follow_their_texts():
    rows = made()
    label = dict(zip(rows.texts, rows.labels.tolist(), strict=True))
    for client in share_texts(split_texts(rows, seed=1), clients=4, seed=1, partition="quantity"):
        assert [label[text] for text in client.train.texts] == client.train.labels.tolist()


def test_with_label_skew_a_vehicle_is_tested_on_the_mixture_it_trains_on():
    (client, *_) = share_texts(split_texts(made(6000), seed=1), clients=5, seed=1, partition="dirichlet", alpha=0.5)
    train, test = (np.array([*part.counts.values()]) / len(part) for part in (client.train, client.test))
    # each class of a vehicle has at most one text too many or too few on each side
    np.testing.assert_allclose(train, test, atol=2 * 3 / len(client.test))


def test_numbers_rise_evenly_from_the_fewest_to_the_most():
    split = split_texts(made(6000), seed=1)
    owned = share_texts(split, clients=5, seed=1, partition="quantity", most_to_least=3.0)
    share = np.sort([len(client.train) for client in owned]) / len(split.train)
    np.testing.assert_allclose(share, np.linspace(1, 3, 5) / 10, atol=1 / len(split.train))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clients": 0}, "0 vehicles: expected at least 1"),
        ({"clients": 300}, "a client would have 0 of 210 rows"),
        ({"clients": 300, "partition": "quantity"}, "of 300 vehicles one would have .* fewer than 1; use fewer"),
        ({"clients": 3, "partition": "quantity", "most_to_least": 0.5}, "most_to_least = 0.5: expected"),
        ({"clients": 3, "partition": "by hand"}, 'partition of texts "by hand": expected iid'),
    ],
)
def test_what_cannot_be_shared_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        share_texts(split_texts(made(300), seed=1), seed=1, **given)


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.2), (0.5, 0.5), (0.1, float("nan"))])
def test_shares_that_leave_nothing_to_train_on_are_refused(validation, test):
    with pytest.raises(ConfigError, match="expected shares from 0, together below 1"):
        split_texts(made(), seed=1, validation_share=validation, test_share=test)


def test_a_part_without_a_text_is_refused():
    with pytest.raises(ConfigError, match="no text of 6 for validation"):
        split_texts(made(6), seed=1)
