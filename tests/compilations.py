"""How many programs an action compiles."""

import jax


def compilations(action) -> int:
    """Programs that XLA compiles while `action()` runs."""
    found = []

    def listen(name, seconds, **facts):
        if name == "/jax/core/compile/backend_compile_duration":
            found.append(facts)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        action()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(found)
