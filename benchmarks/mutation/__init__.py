"""Mutation testing: small faults put into the code that makes numbers, and whether a test notices."""
