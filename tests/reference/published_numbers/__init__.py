"""What the published tables say, computed a second time from the stored records: slow, plain, alone.

NumPy and Python only. Nothing here imports ltbench, so that a mistake there is not made twice.
"""
