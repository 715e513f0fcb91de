"""Compile the data plane while the package is built, where a C compiler is there.

What is compiled, and how: tools/compile_data_plane.py. Without a compiler, or with STEELYARD_COMPILE=0, the
package is built as it is and behaves the same. An editable install puts the extensions beside their sources.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Called by hatchling, for wheels and for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile if that can be done; say so if not."""
        root = Path(self.root)
        sys.path.insert(0, str(root / "tools"))
        from compile_data_plane import compile_in_place, remove_compiled

        remove_compiled(root)
        if os.environ.get("STEELYARD_COMPILE") == "0" or self.target_name != "wheel":
            return
        compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
        if shutil.which(compiler) is None:  # said before half a minute is spent on writing C
            print(
                f"steelyard: built without compiled parts: there is no C compiler ({compiler})",
                file=sys.stderr,
            )
            return
        try:
            made = compile_in_place(root)
        # Whatever a compiler may do, the package must install; distutils raises SystemExit for a missing one.
        except (Exception, SystemExit) as error:  # noqa: BLE001  see above
            remove_compiled(root)
            print(
                f"steelyard: built without compiled parts ({type(error).__name__}: {error})", file=sys.stderr
            )
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version != "editable":
            source = root / "src"
            build_data["force_include"] |= {str(path): str(path.relative_to(source)) for path in made}
