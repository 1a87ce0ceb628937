"""The compiled program as Python sees it."""

def run(data: bytes) -> tuple[int, bytes]:
    """(enum guest_status, public values; empty unless the status is 0)."""
