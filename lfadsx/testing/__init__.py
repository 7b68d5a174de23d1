"""The conformance test of parts: `check(part)`."""

from lfadsx.testing.conformance import check as check
