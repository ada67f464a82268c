"""A lane drives one server: claim, submit, follow, fetch, store, next (design §6).

`lane.py` is the loop; `run.py` one attempt at the backend; `claims.py` how a job gets there;
`recovery.py` what a former lane left; `outcomes.py` what an answer leads to; `store.py` the
pictures; `reporting.py` progress; `doze.py` waiting for work. The rules are those of the lane
protocol.
"""
