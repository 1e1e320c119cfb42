"""The stages, in the order in which a chain runs them. A new stage is one file and one line here.

The command line, recipes and chains all read this table when they are called. No module of a stage may import
torch, transformers, polars, pyarrow or faiss before its `run` is called: `xmcpipe --help` imports them all,
and would otherwise take five seconds.
"""

from xmcpipe.stages.beside.baseline import BASELINE
from xmcpipe.stages.beside.grow import GROW
from xmcpipe.stages.calibrate import CALIBRATE
from xmcpipe.stages.cluster import CLUSTER
from xmcpipe.stages.download import DOWNLOAD
from xmcpipe.stages.embed import EMBED
from xmcpipe.stages.evaluate import EVAL
from xmcpipe.stages.importing import IMPORT
from xmcpipe.stages.predict import PREDICT
from xmcpipe.stages.stage import Stage
from xmcpipe.stages.tokenize import TOKENIZE
from xmcpipe.stages.train import TRAIN

CATALOG: tuple[Stage, ...] = (
    DOWNLOAD,
    IMPORT,
    TOKENIZE,
    CLUSTER,
    EMBED,
    TRAIN,
    CALIBRATE,
    GROW,
    PREDICT,
    BASELINE,
    EVAL,
)
