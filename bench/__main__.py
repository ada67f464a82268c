"""Run all measurements: `make bench`."""

from bench import gap, listing, memory, progress, rate, submit

for measurement in (gap, submit, progress, rate, listing, memory):
    measurement.main()
