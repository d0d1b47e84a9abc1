import pytest
from made_faces import make_still_set


@pytest.fixture(scope="session")
def still_set(tmp_path_factory):
    return make_still_set(tmp_path_factory.mktemp("made"))
