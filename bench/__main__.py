"""Run all measurements: `make bench`."""

from bench import gap, limits, listing, memory, progress, rate, streams, submit

for measurement in (limits, gap, submit, progress, rate, streams, listing, memory):
    measurement.main()
