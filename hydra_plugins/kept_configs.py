"""Reads each file of our config tree once a process: one cell is composed of some forty, several times over."""

import pickle
from typing import Any, ClassVar

from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin


class KeptConfigs(ImportlibResourcesConfigSource):
    """A package's configs, `kept://PACKAGE`, as Hydra reads them from `pkg://PACKAGE`."""

    # Hydra takes its defaults out of what it is given, so each caller gets a copy: pickling them, within this process,
    # takes a seventh of the time that copy.deepcopy takes.
    _read: ClassVar[dict[tuple[str, str, str], bytes]] = {}

    @staticmethod
    def scheme() -> str:
        """The prefix in Hydra's search path."""
        return "kept"

    def load_config(self, config_path: str) -> ConfigResult:
        """A file's config; raises Hydra's ConfigLoadError where there is none."""
        key = (self.provider, self.path, config_path)
        if key not in self._read:
            self._read[key] = pickle.dumps(super().load_config(config_path))
        result: ConfigResult = pickle.loads(self._read[key])
        return result


class OurConfigsAreKept(SearchPathPlugin):
    """Has our own tree read by `KeptConfigs`; folders of users may change while a process lives."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Changes the way to `conf`, and to no other app's configs."""
        for element in search_path.get_path():
            if element.path == "pkg://conf":
                element.path = "kept://conf"
                _share(ConfigStore.instance())


def _share(store: Any) -> None:
    """Has deep copies of what holds the store hold the store itself, which gives out copies; Hydra makes many."""
    store.__deepcopy__ = lambda memo: store
