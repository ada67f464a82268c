"""Run all measurements: `make bench`."""

from bench import gap, limits, listing, memory, progress, rate, submit

for measurement in (limits, gap, submit, progress, rate, listing, memory):
    measurement.main()
