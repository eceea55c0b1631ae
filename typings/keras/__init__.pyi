# Keras infers `None` for most of its operations and TensorFlow exports lazily: both are left untyped.
from typing import Any

def __getattr__(name: str) -> Any: ...
