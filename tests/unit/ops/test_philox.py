"""Philox against the known answers of its authors (Random123); words don't depend on chunks."""

import pytest
import torch

from xmcpipe.ops.philox import philox, random_normal, random_words

ANSWERS = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), ANSWERS)
def test_known_answers(counter: tuple[int, ...], key: int, answer: tuple[int, ...], device: str) -> None:
    c0, c1, c2, c3 = (torch.tensor([word], device=device) for word in counter)
    words = philox((c0, c1, c2, c3), key)
    assert tuple(int(word) for word in words) == answer


def test_a_word_depends_on_its_row_and_column_alone(device: str) -> None:
    rows = torch.tensor([7, 3, 2**40 + 5, 7], device=device)
    words = random_words(11, 2, rows, 10)
    assert torch.equal(words[0], words[3])
    assert torch.equal(random_words(11, 2, rows[2:3], 6)[0], words[2, :6])
    assert not torch.equal(words, random_words(11, 3, rows, 10))
    assert not torch.equal(words, random_words(12, 2, rows, 10))


def test_normal_has_the_moments_of_a_normal() -> None:
    values = random_normal(5, 1, torch.arange(2000), 100).double()
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1.0) < 0.01
    assert abs((values**4).mean() - 3.0) < 0.1
