"""The type of flags that name a run directory: a local folder, or one of a bucket."""

from typing import Annotated

import tyro

from ntkjax.store.run_path import RunPath, run_path


RunPathFlag = Annotated[
    RunPath,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: run_path(words[0]),
        is_instance=lambda value: isinstance(value, RunPath),
        str_from_instance=lambda path: [str(path)],
    ),
]
