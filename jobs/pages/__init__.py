"""The queue page: what it shows (`lists`, `batches`), and what its buttons do (`actions`)."""
