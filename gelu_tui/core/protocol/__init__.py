"""The messages between the app and the engine, one JSON object a line; import it as `p`.

An answer carries the `id` of its command. Unknown fields are ignored, so that the other side may be
newer; an unknown tag is an error. The first event is `Hello`: its protocol version must match.
"""

from gelu_tui.core.protocol.commands import *
from gelu_tui.core.protocol.events import *
from gelu_tui.core.protocol.handshake import *
from gelu_tui.core.protocol.input_values import *
from gelu_tui.core.protocol.lab_events import *
from gelu_tui.core.protocol.values import *
from gelu_tui.core.protocol.wire import *
