"""What the tests of the page share."""

import pytest

from tests.e2e.browser import chromium


@pytest.fixture(scope="module")
def browser():
    """A Chromium for the tests of a file."""
    with chromium() as browser:
        yield browser
