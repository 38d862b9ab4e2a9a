"""The image of one program: a layer, and what an image has around it."""

import json

from fogbank.dataplane.linux.images.store import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    architecture,
    digest_of,
)


def image_of(layer: bytes, program: str) -> dict[str, bytes]:
    """Make an image of ``layer`` that starts ``program``: blobs by digest, the manifest last."""
    config = _render(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Entrypoint": [program], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
        }
    )
    manifest = _render(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": LAYER_TYPE, "digest": digest_of(layer), "size": len(layer)}],
        }
    )
    return {digest_of(each): each for each in (layer, config, manifest)}


def _render(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
