"""The one exception that reaches the person using the demo."""


class StyleTransferError(ValueError):
    """Something the user can mend.

    The message is one clear sentence that can be shown as it is: what is wrong, the value that
    is wrong, and what to do about it.
    """
