"""Makes the helper modules of this folder importable and shares one small evaluation between its tests."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(scope="session")
def evaluated():
    """Result and gallery of the synthetic oracle on ten clips of five patients."""
    import synthetic

    from cfd2gray.evaluation.evaluate import EvaluateOptions, evaluate
    from cfd2gray.evaluation.gallery import Gallery

    gallery = Gallery(per_group=1)
    options = EvaluateOptions(expected_clips=10, settings={"checkpoint": "synthetic oracle"})
    result = evaluate(synthetic.oracle, synthetic.batches(), synthetic.ids, options=options, gallery=gallery)
    return result, gallery
