"""Webhooks: other programs are told of events by signed POSTs, at least once each.

Rows are the truth: deliveries are made from event rows (`fanout`), taken and settled by
conditional UPDATEs (`claims`), sent by threads that know no database (`sending`), and all of it is
driven by one task of the background cluster (`runner`), which any other may replace at any time.
"""
