from xmcpipe.api.classifier import XMCClassifier as XMCClassifier
from xmcpipe.api.model import Model as Model
from xmcpipe.api.model import load as load
from xmcpipe.errors import XmcpipeError as XmcpipeError
from xmcpipe.inference.bundle import Prediction as Prediction
from xmcpipe.metrics import compare as compare
from xmcpipe.metrics import evaluate as evaluate

__version__: str
__all__: list[str]
