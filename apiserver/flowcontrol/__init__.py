"""API Priority and Fairness (KEP-1040): which requests are served now, which wait, and which are refused.

Pure: `schema` says what flow a request belongs to, `sizes` how many seats each priority level has, `seats` who gets
the next one, `maintenance` what is to be written. `filter` and `controller` run them.
"""
