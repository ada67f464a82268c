"""Run all measurements: `make bench`."""

from bench import drag, gap, limits, listing, memory, progress, rate, streams, submit

for measurement in (limits, gap, submit, drag, progress, rate, streams, listing, memory):
    measurement.main()
