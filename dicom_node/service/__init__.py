"""The running node: its parts wired together, their loops and timers, the lock, health, retention and metrics."""
