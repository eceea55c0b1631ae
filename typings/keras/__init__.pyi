# Left untyped: Keras infers `None` for most operations, TensorFlow exports lazily.
from typing import Any

def __getattr__(name: str) -> Any: ...
