"""Keyed hashes and pixels of the sector."""

import numpy as np
import pydicom
import pytest

from data_pipeline.screen.deidentify import KeyedHasher, sector_only
from tests.data_pipeline.screen.test_fan_fit import SHAPES, speckle

KEY = bytes(range(32))


def test_hashes_are_stable_keyed_and_distinct():
    hasher, other = KeyedHasher(KEY), KeyedHasher(KEY[::-1])
    assert hasher.patient("P1") == KeyedHasher(KEY).patient("P1")
    assert len({hasher.patient("P1"), hasher.study("P1"), hasher.clip("P1"), other.patient("P1")}) == 4
    assert len(hasher.patient("P1")) == 32 and int(hasher.patient("P1"), 16) >= 0
    uid = pydicom.uid.UID(hasher.uid("1.2.840.1"))
    assert uid.is_valid and uid.startswith("2.25.") and hasher.uid("1.2.840.1") == uid != hasher.uid("1.2.840.2")
    assert "00010203" not in repr(hasher) and str(KEY) not in repr(hasher)


def test_hasher_refuses_weak_keys_and_empty_ids():
    with pytest.raises(ValueError, match="16"):
        KeyedHasher(b"short")
    with pytest.raises(ValueError, match="str"):
        KeyedHasher("x" * 32)
    with pytest.raises(ValueError, match="empty"):
        KeyedHasher(KEY).patient("")


def plant(ds: pydicom.Dataset, secret: str, depth: int = 0) -> int:
    """Put ``secret`` into every text, name, date and id of the DICOM dictionary that a header may carry."""
    planted = 0
    for tag, (vr, _, _, _, keyword) in pydicom.datadict.DicomDictionary.items():
        group = tag >> 16
        if not keyword or group in (0x0002, 0x7FE0, 0x0000, 0xFFFE) or keyword in ("PixelData", "TransferSyntaxUID"):
            continue
        value = {
            "PN": f"{secret}^JOHN", "LO": secret, "SH": secret[:16], "ST": secret, "LT": secret, "UT": secret,
            "UC": secret, "DA": "19330707", "DT": "19330707111213", "TM": "111213.19330707"[:6], "UI": "1.2.19330707.5",
            "AS": "093Y", "AE": secret[:16], "CS": secret[:16].upper(), "UR": f"http://{secret}",
            "OB": secret.encode() * 2, "UN": secret.encode() * 2,
        }.get(vr)  # fmt: skip
        if value is None or keyword in ds:
            continue
        ds.add_new(tag, vr, value)
        planted += 1
    block = ds.private_block(0x0019, secret, create=True)
    block.add_new(1, "LO", secret)
    block.add_new(2, "UN", secret.encode() * 2)
    ds.add_new(0x60003000, "OW", secret.encode() * 8)
    return planted


def test_sector_only():
    frames = speckle(SHAPES["phased"]) + np.uint8(1)
    sector = frames[0, ..., 0] > 12
    out = sector_only(frames, sector)
    assert not out[:, ~sector].any()
    np.testing.assert_array_equal(out[:, sector], frames[:, sector])
    with pytest.raises(ValueError, match="bool"):
        sector_only(frames, sector[:-1])
