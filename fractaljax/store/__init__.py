"""Tiles on disk: a Zarr v3 group, each tile written once and atomically, checksummed.

    DIR/field/zarr.json     attributes: settings, numeric setting, format, their checksum
    DIR/field/<reading>/    one array a reading; one chunk, hence one file, a tile
    DIR/field/x/, y/        float64, the samples of the axes; written when the result is begun
    DIR/field/done/         uint8, one file a tile, written after all its readings
    DIR/spec.yaml           the settings again, in the form `scan` takes
    DIR/runs.jsonl          one line a run: devices, versions, wall time, pixels
    DIR/files.jsonl         digests of the files that the settings name (`origins`)
    DIR/claims              locked bytes, one a tile that is being trained

A tile that is not marked done, or whose checksum fails, is pending.
"""

from fractaljax.store.ledger import Store
from fractaljax.store.stored import open_field
from fractaljax.store.zooms import open_levels, open_result, open_zoom

__all__ = ["Store", "open_field", "open_levels", "open_result", "open_zoom"]
