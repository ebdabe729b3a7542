"""The one definition of the messages between the app and the engine; import it as `p`.

Both sides write JSON, one object a line. Commands carry the tag `command`, events the tag `event`.
Every command that is answered carries an `id`, and its answers carry the same one. Unknown fields
are ignored, so that either side may be a little newer; an unknown tag is an error. The first event
is always `Hello`, and its protocol version must match.

A message is named once, where its class is: the decoders are built from the subclasses of `Command`
and `Event`.
"""

from gelu_tui.core.protocol.commands import *
from gelu_tui.core.protocol.events import *
from gelu_tui.core.protocol.values import *
from gelu_tui.core.protocol.wire import *
