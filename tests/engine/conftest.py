import pytest


@pytest.fixture(autouse=True)
def _clean_catalogs(clean_catalogs):
    """Every test here registers the splits anew."""
