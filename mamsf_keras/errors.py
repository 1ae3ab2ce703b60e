"""Shortens error messages of other libraries to one line."""


def reason(error: Exception, limit: int = 300) -> str:
    """Shortens the message of an error to one line.

    Keras' message about an unreadable file begins with whole configurations, so only its last cause is kept. Other long
    messages keep their beginning and their end.

    Args:
        error: the error.
        limit: number of characters to keep.
    """
    text = " ".join(str(error).split())
    text = text.rpartition("Exception encountered: ")[2].partition(" Full object config: ")[0]
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"
