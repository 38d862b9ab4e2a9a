"""Data folders for controllers whose resources keep none."""

from pathlib import Path

from fogbank.dataplane.linux.data_folders import DataFolders

NO_DATA = DataFolders(Path("/nonexistent"))
