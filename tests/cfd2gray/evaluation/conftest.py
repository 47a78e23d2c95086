"""One small evaluation, shared by the tests of this folder."""

import pytest


@pytest.fixture(scope="session")
def evaluated():
    """Result and gallery of the synthetic oracle on ten clips of five patients."""
    from cfd2gray.evaluation.evaluate import EvaluateOptions, evaluate
    from cfd2gray.evaluation.report.gallery import Gallery
    from tests.cfd2gray.evaluation import synthetic

    gallery = Gallery(per_group=1)
    options = EvaluateOptions(expected_clips=10, settings={"checkpoint": "synthetic oracle"})
    result = evaluate(synthetic.oracle, synthetic.batches(), synthetic.ids, options=options, gallery=gallery)
    return result, gallery
