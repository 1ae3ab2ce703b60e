"""Messages of errors of other libraries, for one line."""


def reason(error: Exception, limit: int = 300) -> str:
    """Shortens the message of an error to one line.

    Of Keras' message about a file that it cannot read, the last cause is kept: it begins with whole configurations. Of
    any other long message, both ends are kept.

    Args:
        error: the error.
        limit: number of characters to keep.
    """
    text = " ".join(str(error).split())
    text = text.rpartition("Exception encountered: ")[2].partition(" Full object config: ")[0]
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"
