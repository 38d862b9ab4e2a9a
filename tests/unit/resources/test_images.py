"""Image references, as clients write them."""

import pytest

from fogbank.resources.images import ImageReference, parse_image

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        (
            "us-docker.pkg.dev/fogbank/samples/netcheck",
            "us-docker.pkg.dev/fogbank/samples/netcheck",
            "latest",
        ),
        ("us-docker.pkg.dev/p/r/i/deep:v1.2", "us-docker.pkg.dev/p/r/i/deep", "v1.2"),
        ("gcr.io/p/app", "us-docker.pkg.dev/p/gcr.io/app", "latest"),
        ("asia.gcr.io/p/app:1", "asia-docker.pkg.dev/p/asia.gcr.io/app", "1"),
        ("eu.gcr.io/p/app", "europe-docker.pkg.dev/p/eu.gcr.io/app", "latest"),
        ("nginx", "docker.io/library/nginx", "latest"),
        ("bitnami/redis:7", "docker.io/bitnami/redis", "7"),
        ("localhost:5000/app", "localhost:5000/app", "latest"),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(text, repository, tag):
    assert parse_image(text) == ImageReference(repository, tag)


def test_a_digest_wins_over_a_tag():
    assert parse_image(f"us-docker.pkg.dev/p/r/i:v1@{DIGEST}") == ImageReference(
        "us-docker.pkg.dev/p/r/i", None, DIGEST
    )


@pytest.mark.parametrize(
    "text", ["", "UPPER/case", "a//b", "gcr.io/p/i@sha256:short", "gcr.io/p/i:b@d tag", "../x", "p/app:"]
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(ValueError, match=r"not the name|malformed"):
        parse_image(text)


@pytest.mark.parametrize("text", ["gcr.io/p/app:1", f"gcr.io/p/app@{DIGEST}", "nginx"])
def test_a_reference_printed_and_read_again_is_the_same(text):
    image = parse_image(text)
    assert parse_image(str(image)) == image
