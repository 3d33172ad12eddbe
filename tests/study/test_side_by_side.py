"""One crop at equal bytes: nobody gets more than its settings force it to take."""

import numpy as np
import pytest

from satstudy.codecs import AVIF, JPEG, LearnedCodec
from satstudy.codecs.learned import checkpoint
from satstudy.metrics.quality import psnr
from satstudy.study.side_by_side import equal_bytes


@pytest.fixture(scope="module")
def made(make_model, tmp_path_factory, picture):
    from small_study import ship

    path = ship(tmp_path_factory.mktemp("weights"), make_model(N=8, M=12), 0.01)
    codec = LearnedCodec(checkpoint.load(path), "seamless")
    image = picture(200, 240)
    return image, codec, *equal_bytes("a.png", image, codec, side=96)


def test_each_codec_has_the_setting_with_the_nearest_size(made):
    image, learned, _, facts = made
    size = len(learned.encode(image))
    rates = {codec: bpp * image[..., 0].size / 8 for _, codec, bpp, _ in facts["coded"]}
    assert list(rates) == ["jpeg", "jpeg2000", "avif", learned.name]
    assert rates[learned.name] == pytest.approx(size)
    for codec, settings in ((JPEG, range(1, 101)), (AVIF, range(0, 101, 4))):
        sizes = [len(codec(quality).encode(image)) for quality in settings]
        assert abs(rates[codec(1).name] - size) <= min(abs(other - size) for other in sizes)


def test_pictures_are_crops_of_one_place_and_psnr_is_of_the_whole_image(made):
    image, learned, pictures, facts = made
    assert {picture.shape for picture in pictures.values()} == {(96, 96, 3)}
    places = [
        (top, left)
        for top in range(0, 105)
        for left in range(0, 145)
        if np.array_equal(image[top : top + 96, left : left + 96], pictures["original"])
    ]
    ((top, left),) = places
    decoded = learned.decode(learned.encode(image))
    np.testing.assert_array_equal(pictures[learned.name], decoded[top : top + 96, left : left + 96])
    assert facts["coded"][-1][3] == pytest.approx(psnr(image, decoded))
    assert learned.fingerprint.hex() in facts["learned"]
