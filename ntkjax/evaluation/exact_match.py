"""Whether a generated answer is the expected one."""


def exact_match(generated: str, response: str) -> bool:
    """Whether both are the same text, white space at either end aside."""
    return generated.strip() == response.strip()
